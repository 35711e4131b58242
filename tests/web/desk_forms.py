"""Filling in the adjust form in tests as a browser does: what the page carries comes back with it."""

from __future__ import annotations

import io
from html.parser import HTMLParser

from werkzeug.test import TestResponse

from tests.portal import Browser


class _Fields(HTMLParser):
    def __init__(self, form_id: str):
        super().__init__()
        self.form_id, self.inside, self.dialog = form_id, False, False
        self.fields: dict[str, object] = {}

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self.inside = given.get("id") == self.form_id
        if not self.inside or tag != "input" or not given.get("name"):
            return
        name, kind, value = given["name"], given.get("type", "text"), given.get("value") or ""
        if kind in ("radio", "checkbox") and "checked" not in given:
            return
        if name == "kept":
            self.fields.setdefault("kept", []).append(value)
        elif kind not in ("file", "submit") and not name.startswith("typed_"):
            self.fields[name] = value

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False


def fields_of(response: TestResponse, form_id: str = "adjust-form") -> dict:
    parser = _Fields(form_id)
    parser.feed(response.get_data(as_text=True))
    return parser.fields


PLAIN = {
    "direction": "increase", "type": "recharge", "amount": "500", "payment_method": "cash",
    "reason_code": "offline_recharge", "note": "前台收现金",
}  # fmt: skip


class Adjuster:
    """One person at the adjust form of one family."""

    def __init__(self, browser: Browser, family_id: int, *, htmx: bool = True):
        self.browser, self.url, self.htmx = browser, f"/families/{family_id}/adjust", htmx
        self.carried = fields_of(browser.get(self.url))

    def send(self, files: list[tuple[str, bytes]] = (), **changes) -> TestResponse:
        """Submit with these fields; what the page answers is carried on to the next submission."""
        data = {**self.carried, **PLAIN, **changes}
        data = {name: value for name, value in data.items() if value is not None}
        if files:
            data["receipts"] = [(io.BytesIO(content), name) for name, content in files]
        post = self.browser.htmx if self.htmx else self.browser.post
        answer = post(self.url, data, content_type="multipart/form-data")
        self.carried.update(fields_of(answer))
        return answer

    def confirm(self, **changes) -> TestResponse:
        return self.send(confirmed="1", **changes)
