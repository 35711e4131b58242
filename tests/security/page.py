"""What is wrong with a page as a browser reads it: inline code, forms without a token, foreign addresses (S3, S4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from werkzeug.test import TestResponse

from app.web.security import CONTENT_SECURITY_POLICY

#: stands in every hostile text of tests/security/hostile.py; as a tag, an attribute or an address it has got out
MARK = "x-evil"
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY, "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip
_ADDRESSES = ("href", "src", "action", "formaction", "hx-get", "hx-post")
_LEAKS = re.compile(r"Traceback \(most recent|sqlalchemy\.exc|/site-packages/")


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        #: whether the form that is open posts, and has shown its token
        self.form: list[bool] = []

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        if MARK in tag or any(MARK in name for name in values):
            self.wrong.append(f"hostile text became markup: {self.get_starttag_text()[:120]}")
        if tag == "style" or "style" in values or any(re.match(r"on[a-z]+$", name) for name in values):
            self.wrong.append(f"inline code: {self.get_starttag_text()[:120]}")
        if tag == "script" and "src" not in values and values.get("type") != "application/json":
            self.wrong.append("inline script")
        self.wrong += [f"address: {tag} {name}={values[name][:80]}" for name in _ADDRESSES if _bad(values.get(name))]
        if tag == "form":
            self.form = [values.get("method", "get").lower() == "post", False]
        elif tag == "input" and values.get("name") == "csrf_token" and self.form:
            self.form[1] = bool(values.get("value"))

    def handle_endtag(self, tag):
        if tag == "form":
            if self.form == [True, False]:
                self.wrong.append("a form that posts has no token")
            self.form = []


def _bad(address: str | None) -> bool:
    if address is None:
        return False
    folded = address.strip().lower()
    return folded.startswith(("javascript:", "data:text", "vbscript:", "//", "http:", "https:"))


def complaints(response: TestResponse, *, may_be_kept: bool = False) -> Iterator[str]:
    """Everything that is wrong with this answer, as sentences."""
    text = response.get_data(as_text=True) if response.mimetype.startswith(("text/", "application/json")) else ""
    if response.status_code >= 500:
        yield f"answered {response.status_code}"
    for name, value in HEADERS.items():
        if name not in response.headers:
            yield f"no {name}"
        elif response.headers[name] != value and name != "Content-Security-Policy":
            yield f"{name}: {response.headers[name]}"
    if "script-src" in (policy := response.headers.get("Content-Security-Policy", "")) and "unsafe" in policy:
        yield f"a weak policy: {policy}"
    if response.headers.get("Cache-Control") != "no-store" and not may_be_kept:
        yield f"may be kept by caches: {response.headers.get('Cache-Control')}"
    if "Access-Control-Allow-Origin" in response.headers:
        yield "other sites may read it"
    # A sheet that somebody uploaded is handed back as it came, in whatever encoding, as a file and never as a page.
    a_page = not response.headers.get("Content-Disposition", "").startswith("attachment")
    if a_page and response.mimetype.startswith("text/") and "charset=utf-8" not in response.headers["Content-Type"]:
        yield f"no charset: {response.headers['Content-Type']}"
    for cookie in response.headers.getlist("Set-Cookie"):
        if "HttpOnly" not in cookie or "SameSite=Lax" not in cookie:
            yield f"a cookie for scripts: {cookie.split(';')[0].split('=')[0]}"
    if _LEAKS.search(text):
        yield "tells about the program"
    if response.mimetype == "text/html":
        reader = _Reader()
        reader.feed(text)
        yield from reader.wrong
