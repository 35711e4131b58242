"""What a staff card is made of, before any gateway turns it into Feishu's form."""

from __future__ import annotations

from typing import Any

from app.domain.outbox.kinds import GROUPS
from app.domain.outbox.wording import clean

COLOURS = ("blue", "green", "orange", "red", "grey")


def check(group: str, card: dict[str, Any]) -> None:
    """Raises ValueError: a card is written by our own code, and a wrong one is a bug to find at once."""
    if group not in GROUPS:
        raise ValueError(f"no Feishu group {group!r}")
    if not card.get("title") or card.get("colour") not in COLOURS:
        raise ValueError("a card has a title and a colour")
    if not all(len(line) == 2 or (len(line) == 3 and line[2].startswith("/")) for line in card.get("lines", ())):
        raise ValueError("a card's lines are [label, value], with a path of the portal after them or not")
    link = card.get("link")
    if link is not None and not (link.get("text") and str(link.get("path", "")).startswith("/")):
        raise ValueError("a card's link has a text and a path of the portal")


def plain_text(card: dict[str, Any]) -> str:
    """The card as lines of text, for the notification centre."""
    lines = [f"{clean(str(label))}：{clean(str(value))}" for label, value, *_path in card.get("lines", ())]
    if card.get("text"):
        lines.append(clean(str(card["text"])))
    return "\n".join(lines)
