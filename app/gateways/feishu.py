"""Feishu's custom group bot: one signed webhook per group, interactive cards, its error codes.

The hook's address is a secret. Values come from parents and staff, so every sign that Feishu's markdown reads is
escaped; a card from us is the only thing in a group that may link anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Sequence
from typing import Any

from app.gateways import http
from app.gateways.errors import Permanent, RateLimited, Temporary
from app.text import clean

#: bytes of a request at most; Feishu's own limit is 20 KB
MAX_BODY = 19 * 1024
#: cards in one digest at most: more is nothing that a person reads
MAX_DIGEST = 20
_LINES = 30
_VALUE = 300

RATE_LIMITED = 11232
#: refused for a reason that another try does not change
_FINAL = {9499, 19001, 19021, 19022, 19024}
#: seconds; Feishu names no pause, and its window is a minute
_PAUSE = 15

_SPECIAL = re.compile(r"([\\`*_~\[\]()<>#|!&])")
_PHONE = re.compile(r"(?<!\d)(1[3-9]\d)\d{4}(\d{4})(?!\d)")

Card = dict[str, Any]


def send(url: str, secret: str, body: dict[str, Any]) -> None:
    """Post one card. Raises RateLimited, Temporary, UnknownOutcome or Permanent; never inside a transaction."""
    label = "feishu.card"
    stamp = str(int(time.time()))
    text = json.dumps({**body, "timestamp": stamp, "sign": sign(stamp, secret)}, ensure_ascii=False)
    headers = {"Content-Type": "application/json; charset=utf-8"}
    response = http.request("POST", url, label=label, data=text.encode(), headers=headers)
    answer = http.read_json(http.check(response, label), label)
    code = answer.get("code", answer.get("StatusCode", 0))
    if code == 0:
        return
    detail = str(answer.get("msg") or "")
    if code == RATE_LIMITED:
        raise RateLimited(label, str(code), detail, retry_after=_PAUSE)
    raise (Permanent if code in _FINAL else Temporary)(label, str(code), detail)


def sign(timestamp: str, secret: str) -> str:
    """The text is the key and the message is empty, as Feishu wants it."""
    digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def card_body(card: Card, public_url: str) -> dict[str, Any]:
    """One card as Feishu takes it, cut until it fits."""
    for length in (_VALUE, 150, 60, 20):
        elements = [_text(_lines(card, length, public_url))]
        if card.get("link"):
            elements.append(_button(card["link"], public_url))
        body = _interactive(card["title"], card["colour"], elements)
        if size(body) <= MAX_BODY:
            break
    return body


def digest_body(cards: Sequence[Card], public_url: str) -> dict[str, Any]:
    """Several cards as one, for a group that gets more than its bot may send (N9)."""
    colour = next((c for c in ("red", "orange") if any(card["colour"] == c for card in cards)), "blue")
    elements: list[dict[str, Any]] = []
    for card in cards:
        words = f"**{escape(card['title'])}**\n{_lines(card, 80, public_url)}"
        if card.get("link"):
            words += f"\n[{escape(card['link']['text'])}]({public_url}{card['link']['path']})"
        elements += [_text(words), {"tag": "hr"}]
    return _interactive(f"{len(cards)} 条通知", colour, elements[:-1])


def how_many_fit(cards: Sequence[Card], public_url: str) -> int:
    """How many of these, from the first on, go into one digest; at least one."""
    count = min(len(cards), MAX_DIGEST)
    while count > 1 and size(digest_body(cards[:count], public_url)) > MAX_BODY:
        count -= 1
    return max(count, 1)


def size(body: dict[str, Any]) -> int:
    return len(json.dumps(body, ensure_ascii=False).encode())


def escape(value: Any, length: int = _VALUE) -> str:
    """Text that Feishu shows as it is: no mentions, links or emphasis, no whole phone number (S4, S8)."""
    whole = clean(str(value)[:10_000], 10_000)
    text = _PHONE.sub(r"\1****\2", whole if len(whole) <= length else f"{whole[: length - 1]}…")
    return _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", text)


def _lines(card: Card, length: int, public_url: str) -> str:
    """A line is its label and its value, which leads to a path of the portal where the line names one."""
    lines = []
    for label, value, *path in card.get("lines", ())[:_LINES]:
        words = escape(value, length)
        lines.append(f"**{escape(label)}**：" + (f"[{words}]({public_url}{path[0]})" if path else words))
    if card.get("text"):
        lines.append(escape(card["text"], length * 4))
    return "\n".join(lines) or " "


def _text(content: str) -> dict[str, Any]:
    return {"tag": "div", "text": {"tag": "lark_md", "content": content}}


def _button(link: dict[str, str], public_url: str) -> dict[str, Any]:
    text = {"tag": "plain_text", "content": clean(link["text"], 30)}
    button = {"tag": "button", "type": "primary", "text": text, "url": f"{public_url}{link['path']}"}
    return {"tag": "action", "actions": [button]}


def _interactive(title: str, colour: str, elements: list[dict[str, Any]]) -> dict[str, Any]:
    plain = _PHONE.sub(r"\1****\2", clean(title, 100))
    header = {"template": colour, "title": {"tag": "plain_text", "content": plain}}
    return {"msg_type": "interactive", "card": {"config": {"wide_screen_mode": True}, "header": header,
                                                "elements": elements}}  # fmt: skip
