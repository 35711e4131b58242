"""Every page that a role may open, with hostile text in every column, read as a browser reads it (S3, S4, I-48).

Two roles open all pages between them. `make security` asks for every role (DESK_CRAWL_ROLES=all).
"""

from __future__ import annotations

import os

import pytest

from app.domain.people.roles import Role
from tests.architecture import seeded
from tests.architecture.route_matrix import PARENT, ROUTES, SIGNED
from tests.portal import Browser
from tests.security import hostile, page

ROLES = list(Role) if os.environ.get("DESK_CRAWL_ROLES") == "all" else [Role.MANAGER, Role.ADMIN]
#: files and what machines ask: their headers have tests of their own
_NO_PAGES = ("/static/", "/healthz", "/readyz", "/metrics", "/api/")


def addresses(app) -> dict[str, str]:
    """Rule → address with real ids, of every GET page."""
    ids, adapter, found = seeded.ids(), app.url_map.bind("localhost"), {}
    for rule in app.url_map.iter_rules():
        line = f"GET {rule.rule}"
        shown = "GET" in rule.methods and ROUTES.get(line) not in (None, PARENT, SIGNED)
        if shown and not rule.rule.startswith(_NO_PAGES):
            found[line] = adapter.build(rule.endpoint, seeded.values_of(rule.rule, rule.arguments, ids), "GET")
    return found


@pytest.mark.faults
def test_every_page(app, record_property, monkeypatch):
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)  # a page that breaks is a 500 here too, not the end
    found = addresses(app)
    spoilt = hostile.spoil()
    assert {"families.name", "users.nickname", "profiles.name", "staff.display_name", "courses.name"} <= spoilt
    wrong, seen, hits = [], set(), 0
    for role in ROLES:
        browser = Browser(app).sign_in(str(role))
        for line, path in found.items():
            if line in seen and len(ROLES) == 2:
                continue
            response = browser.get(path)
            if response.status_code == 200:
                seen.add(line)
                hits += page.MARK.encode() in response.get_data()
            wrong += [
                f"{role} {line}: {complaint}" for complaint in page.complaints(response, may_be_kept=line in _KEPT)
            ]
            response.close()
    record_property("pages", len(seen))
    record_property("roles", ", ".join(ROLES))
    record_property("columns", len(spoilt))
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 100
    assert hits > 20, "hostile text is hardly shown anywhere: the test looks past it"


#: the help's pictures show nobody's data
_KEPT = {"GET /help/pictures/<help_picture>"}


def test_the_reader_finds_what_is_wrong(client):
    class Fake:
        mimetype, status_code = "text/html", 200
        headers = client.get("/sign-in").headers

        def get_data(self, as_text):
            return ('<p style="x">', "<form method=post></form>", f'<a href="javascript:1" {page.MARK}>', "<script>1",
                    "<img src=//x onerror=1>")  # fmt: skip

    fake = Fake()
    for number, expected in enumerate(("inline code", "no token", "became markup", "inline script", "address")):
        html = Fake.get_data(fake, True)[number]
        fake.get_data = lambda as_text, html=html: html
        assert any(expected in complaint for complaint in page.complaints(fake)), html


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "PUT"])
def test_methods_that_nobody_needs(client, method):
    assert client.open("/sign-in", method=method).status_code == 405
