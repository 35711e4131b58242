"""The staff handbook: every page opens, every link and picture leads somewhere, every word of the portal is one."""

from __future__ import annotations

import re
from functools import cache

import pytest

from app.web import help as handbook
from tests.architecture.source import ROOT
from tests.portal import Browser

FILES = sorted(path.stem for path in handbook.HANDBOOK.glob("*.md"))


@pytest.fixture
def browser(app):
    return Browser(app).sign_in("front_desk")


def test_every_page_opens_and_all_that_it_points_at(browser):
    start = browser.get("/help").get_data(as_text=True)
    found = set(re.findall(r'(?:href|src)="(/help/[^"#]+)"', start))
    for address in sorted(found):
        answer = browser.get(address)
        assert answer.status_code == 200, address
        if answer.mimetype == "text/html":
            text = answer.get_data(as_text=True)
            body = text[text.index("help-page") :]
            assert ".md" not in body
            found |= set(re.findall(r'(?:href|src)="(/help/[^"#]+)"', text))
        answer.close()
    pages = {address.removeprefix("/help/") for address in found if "pictures" not in address}
    assert pages == set(FILES) - {"README"}
    pictures = {address for address in found if "pictures" in address}
    assert len(pictures) >= 10
    for address in pictures:
        with browser.get(address) as answer:
            assert (answer.status_code, answer.mimetype) == (200, "image/png"), address


def test_the_menu_leads_to_it(browser):
    assert 'href="/help"' in browser.get("/account").get_data(as_text=True)


@pytest.mark.parametrize("address", ["/help/README", "/help/nothing", "/help/pictures/..%2f..%2fwsgi.py", "/help/a.md"])
def test_what_is_no_page_is_not_found(browser, address):
    assert browser.get(address).status_code == 404


def test_raw_html_stays_text():
    html = handbook._markdown().render("<script>alert(1)</script>\n\n[x](javascript:alert(1))")
    assert "<script" not in html
    assert "href" not in html


@cache
def portal_source() -> str:
    files = [
        path
        for folder in ("templates", "app/web", "app/domain", "static")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".html", ".py", ".js") and "vendor" not in path.parts
    ]
    return "".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("name", FILES)
def test_what_is_quoted_from_a_page_stands_there(name):
    """「…」 in the handbook is a word on a button, a menu or a page: renamed there, it is renamed here."""
    text = (handbook.HANDBOOK / f"{name}.md").read_text(encoding="utf-8")
    quoted = {part for words in re.findall(r"「([^」]+)」", text) for part in words.split(" → ")}
    assert [word for word in sorted(quoted) if word not in portal_source()] == []
