"""The page of the Feishu groups: three chats with the cards that the bots posted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, current_app, render_template, request

from .feishu import GROUPS
from .feishu_cards import blocks, header, post_lines, text_message
from .state import SandboxState

bp = Blueprint("groups", __name__)
SHOWN = 60  # cards per group; older ones are still in /_control/cards
STUDIO_OFFSET = timedelta(hours=8)  # Asia/Shanghai has no summer time


@bp.app_template_filter("clock")
def clock(seconds: float) -> str:
    """Seconds since 1970 as the studio's month, day and time."""
    moment = datetime.fromtimestamp(seconds, UTC) + STUDIO_OFFSET
    return f"{moment.month}月{moment.day}日 {moment:%H:%M:%S}"


@bp.get("/groups")
def page() -> str:
    return render_template("groups.html", **_columns())


@bp.get("/groups/feed")
def feed() -> Response | str:
    """The chats again, or 204 when nothing has been posted since `rev`."""
    state: SandboxState = current_app.extensions["sandbox"]
    if request.args.get("rev") == str(state.revision):
        return Response(status=204)
    return render_template("_group_columns.html", **_columns())


def _columns() -> dict[str, Any]:
    state: SandboxState = current_app.extensions["sandbox"]
    with state.lock:
        revision, cards = state.revision, {group: state.cards_of(group) for group in GROUPS}
    columns = [
        {"group": group, "name": name, "total": len(cards[group]), "posts": [_post(c) for c in cards[group][-SHOWN:]]}
        for group, name in GROUPS.items()
    ]
    return {"revision": revision, "columns": columns}


def _post(card: dict[str, Any]) -> dict[str, Any]:
    kind, content = card["msg_type"], card["content"]
    shown: dict[str, Any] = {"id": card["id"], "at": card["at"], "kind": kind}
    if kind == "text":
        return {**shown, "html": text_message(content["text"])}
    if kind == "post":
        return {**shown, "title": str(content.get("title", "")), "lines": post_lines(content)}
    return {**shown, "header": header(content), "blocks": blocks(content)}
