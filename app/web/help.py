"""帮助: the staff handbook of docs/handbook, as pages of the portal (Z16).

The Markdown is ours and is still rendered with raw HTML switched off: the page's policy would forbid most of it anyway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, abort, send_from_directory, url_for
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from app.config import ROOT
from app.domain.people.roles import Permission
from app.web.permissions import requires
from app.web.rendering import render

bp = Blueprint("help", __name__)

HANDBOOK = Path(ROOT) / "docs" / "handbook"
PICTURES = Path(ROOT) / "docs" / "pictures"
_CONTENTS = "README"
_NAME = re.compile(r"[a-z]+")
_PAGE = re.compile(r"([A-Za-z]+)\.md(#.*)?")
_PICTURE = re.compile(r"\.\./pictures/([a-z0-9-]+\.png)")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the handbook: its heading, and what stands under it as HTML."""

    title: str
    body: Markup


@bp.get("/help")
@requires(Permission.HOME)
def index():
    """The handbook's contents."""
    return render("help/page.html", page=read(_CONTENTS), contents=True)


@bp.get("/help/<help_page>")
@requires(Permission.HOME)
def page(help_page: str):
    """One page; 404 for what the handbook does not have."""
    if not _NAME.fullmatch(help_page) or not (HANDBOOK / f"{help_page}.md").is_file():
        abort(404)
    return render("help/page.html", page=read(help_page), contents=False)


@bp.get("/help/pictures/<help_picture>")
@requires(Permission.HOME)
def picture(help_picture: str) -> Response:
    """A picture of a page, taken with demo data."""
    answer = send_from_directory(PICTURES, help_picture, mimetype="image/png", max_age=86400)
    answer.headers["Cache-Control"] = "private, max-age=86400"
    return answer


@lru_cache(maxsize=32)
def read(name: str) -> Page:
    """The page of this name, links and pictures led to their addresses here. Kept: a release brings new ones."""
    tokens = _markdown().parse((HANDBOOK / f"{name}.md").read_text(encoding="utf-8"))
    for token in tokens:
        for child in token.children or ():
            _lead(child)
    title = tokens[1].content
    html = _markdown().renderer.render(tokens[3:], _markdown().options, {})
    return Page(title, Markup(html))  # noqa: S704 - our own text, rendered without raw HTML


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _lead(token: Token) -> None:
    if token.type == "link_open":
        found = _PAGE.fullmatch(str(token.attrs.get("href", "")))
        if found and found[1] == _CONTENTS:
            token.attrSet("href", url_for("help.index"))
        elif found:
            token.attrSet("href", url_for("help.page", help_page=found[1]) + (found[2] or ""))
    elif token.type == "image":
        found = _PICTURE.fullmatch(str(token.attrs.get("src", "")))
        if found:
            token.attrSet("src", url_for("help.picture", help_picture=found[1]))
            token.attrSet("loading", "lazy")
