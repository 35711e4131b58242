"""Default deny (S2): every route is in the matrix, each role gets what it says, and reading never writes."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from app.domain.people.roles import Role
from app.web.permissions import OUTSIDE_BLUEPRINTS, OUTSIDE_ENDPOINTS, declared, public, requires
from tests.architecture import seeded
from tests.architecture.route_matrix import MAY_WRITE, PARENT, PUBLIC, ROUTES, SIGNED, STAFF_JSON
from tests.portal import Browser

_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_IMPLIED = {"HEAD", "OPTIONS"}


def served(app: Flask) -> set[str]:
    """Every "METHOD path" that this application answers."""
    return {f"{m} {rule.rule}" for rule in app.url_map.iter_rules() for m in rule.methods - _IMPLIED}


def undeclared(app: Flask) -> list[str]:
    """Endpoints of the portal whose view declares no permission."""
    return sorted(
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/api/")
        and rule.endpoint not in OUTSIDE_ENDPOINTS
        and rule.endpoint.partition(".")[0] not in OUTSIDE_BLUEPRINTS
        and declared(app.view_functions[rule.endpoint]) is None
    )


@pytest.fixture
def paths(app):
    """ "METHOD path" → the address with real ids, of every line that is served; the first test asks for the rest."""
    ids = seeded.ids()
    adapter = app.url_map.bind("localhost")
    found = {}
    for rule in app.url_map.iter_rules():
        for method in rule.methods - _IMPLIED:
            line = f"{method} {rule.rule}"
            if line not in ROUTES:
                continue
            missing = rule.arguments - set(ids)
            assert not missing, f"tests/architecture/seeded.py has no row for {sorted(missing)} of {line}"
            values = seeded.values_of(rule.rule, rule.arguments, ids)
            found[line] = adapter.build(rule.endpoint, values, method=method)
    return found


def test_every_route_is_in_the_matrix_and_nothing_else(base_app):
    assert sorted(served(base_app) - set(ROUTES)) == [], "add these to tests/architecture/route_matrix.py"
    assert sorted(set(ROUTES) - served(base_app)) == [], "no such routes any more"


def test_every_view_declares_its_permission(base_app):
    assert undeclared(base_app) == []


def test_the_finder_finds():
    bare = Flask("bare")
    bare.add_url_rule("/open", "open", lambda: "")
    bare.add_url_rule("/told", "told", public(lambda: ""))
    assert undeclared(bare) == ["open"]


def test_a_view_declares_only_once():
    with pytest.raises(TypeError, match="twice"):
        requires("home")(public(lambda: ""))


def ask(browser: Browser, method: str, path: str):
    if method == "GET":
        return browser.get(path)
    if path.startswith("/api/"):
        return browser.client.open(path, method=method, json={})
    return browser.post(path)


@pytest.mark.parametrize("role", [None, *Role])
def test_each_role_gets_what_the_matrix_says(app, paths, role):
    wrong = []
    for line, path in paths.items():
        who, method = ROUTES[line], line.partition(" ")[0]
        browser = Browser(app)
        if role:
            browser.sign_in(str(role))
        found = verdict(ask(browser, method, path))
        if found != (wanted := _wanted(who, role)):
            wrong.append(f"{line}: {found} instead of {wanted}")
    assert wrong == []


def _wanted(who: str, role: str | None) -> str:
    if who == PUBLIC:
        return "open"
    if who in (PARENT, SIGNED):
        return "token"
    if role is None:
        return "token" if STAFF_JSON in who.split() else "sign-in"
    return "open" if role in who.split() else "refused"


def verdict(response) -> str:
    """What the gate said: open, sign-in, token (401 of the API), refused, or broken."""
    response.close()  # a file of /static stays open until then
    location = response.headers.get("Location", "")
    if response.status_code == 401:
        return "token" if response.is_json else "sign-in"
    if response.status_code in (302, 303) and location.startswith("/sign-in?"):
        return "sign-in"
    if response.status_code == 403:
        return "refused"
    return "broken" if response.status_code in (405, 500) else "open"


def test_reading_never_writes(app, paths, statements):
    wrote = []
    for role in Role:
        browser = Browser(app).sign_in(str(role))
        for line, path in paths.items():
            method, _, rule = line.partition(" ")
            if method != "GET" or line in MAY_WRITE:
                continue
            for verb in ("GET", "HEAD"):
                statements.clear()
                browser.client.open(path, method=verb).close()
                written = [s for s in statements if _WRITES.match(s)]
                if written:
                    wrote.append(f"{verb} {rule} as {role}: {written[0][:80]}")
    assert wrote == []
