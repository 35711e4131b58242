"""Opening everything that reads lists: the portal's pages with their filters, the parents' lists, the periodic jobs."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

from flask import Flask
from werkzeug.routing import Rule

from app.api.v1 import tokens
from app.domain.audit.actor import Actor
from app.domain.people import parent_sessions
from tests.architecture import seeded
from tests.architecture.route_matrix import PARENT, PUBLIC, ROUTES, STAFF
from tests.portal import Browser

#: the role that opens a page where several may: it sees the most of it
_FIRST = ("manager", "finance", "admin", "auditor", "front_desk")
#: what is typed into a field of a filter that has no list
_TYPED = {"date": "2026-11-01", "month": "2026-11", "number": "3", "search": "张", "text": "张", "time": "10:00"}


class _Filters(HTMLParser):
    """What a page offers over itself: links with another query, and each choice of a form that is sent by GET."""

    def __init__(self, path: str):
        super().__init__()
        self._path = path
        self._form = self._select = None
        self.queries: dict[str, str] = {}

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        if tag == "a" and said.get("href"):
            self._keep(urlsplit(said["href"]))
        elif tag == "form":
            mine = said.get("method", "get").lower() == "get" and said.get("action", self._path) == self._path
            self._form = mine or None
        elif self._form and tag == "select":
            self._select = said.get("name")
        elif self._form and tag == "option" and self._select and said.get("value"):
            self._keep_choice(self._select, said["value"])
        elif self._form and tag == "input" and said.get("name"):
            kind = said.get("type", "text")
            if kind in ("checkbox", "radio"):
                self._keep_choice(said["name"], said.get("value", "on"))
            elif kind in _TYPED:
                self._keep_choice(said["name"], _TYPED[kind])

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = None
        elif tag == "form":
            self._form = None

    def _keep(self, link) -> None:
        if link.query and link.path in ("", self._path):
            # Of a pager's and a sorter's links one each: they differ in values, and these are no other statement.
            names = ",".join(sorted(part.partition("=")[0] for part in link.query.split("&")))
            self.queries.setdefault(names, link.query)

    def _keep_choice(self, name: str, value: str) -> None:
        # Two of each list: the first one may be what the page shows anyway.
        for turn in "12":
            if f"{name}#{turn}" not in self.queries:
                self.queries[f"{name}#{turn}"] = urlencode({name: value})
                return


def _read(app: Flask) -> Iterator[Rule]:
    return (rule for rule in app.url_map.iter_rules() if "GET" in rule.methods)


def pages(app: Flask, ids: dict[str, object]) -> Iterator[tuple[str, int]]:
    """Every page of the portal as somebody who may see it, then with each of its filters: (address, status)."""
    adapter = app.url_map.bind("localhost")
    browsers: dict[str, Browser] = {}
    for rule in _read(app):
        who = ROUTES.get(f"GET {rule.rule}", PUBLIC)
        if who in (PUBLIC, PARENT) or rule.rule.startswith("/api/"):
            continue
        role = next(role for role in _FIRST if role in (STAFF if who == STAFF else who).split())
        browser = browsers.setdefault(role, Browser(app))
        if browser.staff is None:
            browser.sign_in(role)
        path = adapter.build(rule.endpoint, seeded.values_of(rule.rule, rule.arguments, ids), method="GET")
        response = browser.get(path)
        yield path, response.status_code
        if response.mimetype != "text/html":
            response.close()  # a file stays open until then
            continue
        offered = _Filters(path)
        offered.feed(response.get_data(as_text=True))
        for query in offered.queries.values():
            address = f"{path}?{query}"
            yield address, browser.get(address).status_code


def parents_lists(app: Flask, ids: dict[str, object]) -> Iterator[tuple[str, int]]:
    """Every GET of the JSON contract as the family's parent: (address, status)."""
    user_id = ids["user_id"]
    session = parent_sessions.open_session(user_id=user_id, actor=Actor(type="parent", id=user_id, name="家长"))
    token = tokens.issue(user_id=user_id, session_id=session.id, seconds=session.access_seconds)
    client, adapter = app.test_client(), app.url_map.bind("localhost")
    for rule in _read(app):
        if ROUTES.get(f"GET {rule.rule}") != PARENT:
            continue
        path = adapter.build(rule.endpoint, seeded.values_of(rule.rule, rule.arguments, ids), method="GET")
        response = client.get(path, headers={"Authorization": f"Bearer {token}"})
        yield path, response.status_code
