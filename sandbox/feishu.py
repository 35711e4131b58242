"""Feishu's custom group bots: one webhook per group, with signature check, body check and rate limits.

As at Feishu, errors come as HTTP 200 with `code` and `msg`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from .bodies import json_object
from .feishu_cards import plain_text
from .state import SandboxState

bp = Blueprint("feishu", __name__)

GROUPS = {"money": "资金通知群", "waitlist": "候补通知群", "system": "系统告警群"}
SIGN_SECONDS = 3600
BODY_LIMIT = 20 * 1024

SIGN_MISMATCH = (19021, "sign match fail or timestamp is not within one hour from current time")
UNKNOWN_TOKEN = (19001, "param invalid: incoming webhook access token invalid")
BAD_BODY = (9499, "Bad Request")
TOO_OFTEN = (11232, "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]")


def secret_of(group: str) -> str:
    return f"sandbox-{group}"


def sign(timestamp: str, secret: str) -> str:
    """Feishu's signature: the timestamp and secret are the key, and the message is empty."""
    digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


@bp.post("/open-apis/bot/v2/hook/<group>")
def hook(group: str) -> Response:
    if group not in GROUPS:
        return _refuse(UNKNOWN_TOKEN)
    state: SandboxState = current_app.extensions["sandbox"]
    raw = request.get_data()
    body = json_object(raw)
    if body is None or len(raw) > BODY_LIMIT:
        return _refuse(BAD_BODY)
    if not _signed(body, group, state.now()):
        return _refuse(SIGN_MISMATCH)
    fault = request.environ["sandbox.fault"]
    if fault.rate_limited or (fault.enforce_limits and not state.hook_allowed(group)):
        return _refuse(TOO_OFTEN)
    content = _content(body)
    if content is None:
        return _refuse(BAD_BODY)
    kind = body["msg_type"]
    title, text = plain_text(kind, content)
    state.post_card({"group": group, "msg_type": kind, "content": content, "title": title, "text": text})
    return jsonify(StatusCode=0, StatusMessage="success", code=0, data={}, msg="success")


def _refuse(problem: tuple[int, str]) -> Response:
    return jsonify(code=problem[0], msg=problem[1], data={})


def _signed(body: dict[str, Any], group: str, now: float) -> bool:
    timestamp, signature = str(body.get("timestamp", "")), str(body.get("sign", ""))
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now - int(timestamp)) > SIGN_SECONDS:
        return False
    return hmac.compare_digest(sign(timestamp, secret_of(group)).encode(), signature.encode())


def _content(body: dict[str, Any]) -> dict[str, Any] | None:
    """The part that is shown, if the body has the form of its `msg_type`; None if it does not."""
    kind, content = body.get("msg_type"), body.get("content")
    if kind == "interactive":
        card = body.get("card")
        return card if isinstance(card, dict) and _elements(card) else None
    if not isinstance(content, dict):
        return None
    if kind == "text":
        return content if isinstance(content.get("text"), str) and content["text"] else None
    if kind == "post":
        languages = content.get("post")
        post = next(iter(languages.values()), None) if isinstance(languages, dict) else None
        lines = post.get("content") if isinstance(post, dict) else None
        good = isinstance(lines, list) and all(
            isinstance(line, list) and all(isinstance(part, dict) for part in line) for line in lines
        )
        return post if good else None
    return None


def _elements(card: dict[str, Any]) -> bool:
    """A card has elements, each with a tag; the newer form keeps them under `body`."""
    body = card.get("body")
    elements = body.get("elements") if isinstance(body, dict) else card.get("elements")
    return isinstance(elements, list) and all(isinstance(e, dict) and isinstance(e.get("tag"), str) for e in elements)
