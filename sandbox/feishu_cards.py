"""Feishu messages as safe HTML and as plain text.

What comes in is hostile: names that parents chose stand in it. So nothing of it is ever markup of ours; the
few signs of lark_md are recognised, and everything between them is escaped.
"""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup, escape

COLOURS = frozenset({
    "blue", "wathet", "turquoise", "green", "yellow", "orange", "red", "carmine", "violet", "purple", "indigo",
    "grey",
})  # fmt: skip
DEPTH = 6
_TOKEN = re.compile(
    r"(?P<escaped>\\[\\*_~\[\]()<>`])"
    r"|\*\*(?P<bold>[^\n]+?)\*\*"
    r"|~~(?P<strike>[^\n]+?)~~"
    r"|(?<![*\w])\*(?P<italic>[^*\s](?:[^*\n]*[^*\s])?)\*(?![*\w])"
    r"|\[(?P<label>[^\[\]\n]*)\]\((?P<href>[^()\s]+)\)"
    r"|<at id=(?P<at>[^<>]{1,64})></at>"
    r"|<font color=['\"]?(?P<colour>[a-z]+)['\"]?>(?P<font>.*?)</font>",
    re.S,
)
_MARKS = {
    "bold": Markup("<strong>{}</strong>"),
    "strike": Markup("<del>{}</del>"),
    "italic": Markup("<em>{}</em>"),
}


def safe_link(url: Any) -> str | None:
    """The address if a browser may open it: http(s) with a host. `javascript:` and the like are not."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    return url.strip() if parts.scheme in ("http", "https") and parts.netloc else None


def lark_md(text: Any, depth: int = DEPTH) -> Markup:
    """The part of Feishu's markdown that our cards use: bold, italic, strike, links, @, coloured words."""
    text = str(text if text is not None else "")
    out, end = Markup(""), 0
    for found in _TOKEN.finditer(text) if depth else ():
        out += _literal(text[end : found.start()]) + _marked(found, depth - 1)
        end = found.end()
    return out + _literal(text[end:])


def _literal(text: str) -> Markup:
    # Entities such as &#42; are how a sender writes a sign that is not to be read as markdown.
    return Markup("<br>").join(escape(html.unescape(line)) for line in text.split("\n"))


def _marked(found: re.Match[str], depth: int) -> Markup:
    group = found.groupdict()
    if group["escaped"]:
        return escape(group["escaped"][1])
    if group["href"] is not None:
        link = safe_link(html.unescape(group["href"]))
        return anchor(link, lark_md(group["label"], depth)) if link else _literal(found[0])
    if group["at"] is not None:
        name = "所有人" if group["at"].strip("'\"") == "all" else "成员"
        return Markup('<span class="at">@{}</span>').format(name)
    if group["font"] is not None:
        colour = group["colour"] if group["colour"] in COLOURS else "grey"
        return Markup('<span class="ink-{}">{}</span>').format(colour, lark_md(group["font"], depth))
    name = next(name for name in _MARKS if group[name] is not None)
    return _MARKS[name].format(lark_md(group[name], depth))


def anchor(link: str, label: Markup | str) -> Markup:
    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>').format(link, label)


def text_of(node: Any) -> Markup:
    """A card's text object: `{"tag": "plain_text" | "lark_md", "content": …}` or, in places, a bare string."""
    if isinstance(node, dict):
        content = node.get("content", "")
        return lark_md(content) if node.get("tag") == "lark_md" else _literal(str(content))
    return _literal(str(node)) if node else Markup("")


def header(card: dict[str, Any]) -> dict[str, Any] | None:
    head = card.get("header")
    if not isinstance(head, dict):
        return None
    colour = head.get("template") if head.get("template") in COLOURS else "default"
    return {"colour": colour, "title": text_of(head.get("title")), "subtitle": text_of(head.get("subtitle"))}


def blocks(content: dict[str, Any], depth: int = DEPTH) -> list[dict[str, Any]]:
    """A card's elements as a list of simple blocks, which the page's template draws."""
    body = content.get("body") if isinstance(content.get("body"), dict) else content
    elements = body.get("elements")
    found: list[dict[str, Any]] = []
    for element in elements if isinstance(elements, list) and depth else ():
        if isinstance(element, dict):
            found.extend(_block(element, depth - 1))
    return found


def _block(element: dict[str, Any], depth: int) -> list[dict[str, Any]]:
    tag = element.get("tag")
    if tag == "hr":
        return [{"kind": "rule"}]
    if tag == "markdown":
        return [{"kind": "text", "html": lark_md(element.get("content"))}]
    if tag == "div":
        found = [{"kind": "text", "html": text_of(element["text"])}] if element.get("text") else []
        rows = [f for f in _list(element.get("fields")) if isinstance(f, dict)]
        if rows:
            shown = [{"short": bool(f.get("is_short")), "html": text_of(f.get("text"))} for f in rows]
            found.append({"kind": "fields", "rows": shown})
        return found
    if tag == "note":
        return [{"kind": "note", "html": Markup(" ").join(text_of(e) for e in _list(element.get("elements")))}]
    if tag in ("action", "button"):
        actions = _list(element.get("actions")) if tag == "action" else [element]
        return [{"kind": "buttons", "buttons": [_button(a) for a in actions if isinstance(a, dict)]}]
    if tag in ("column_set", "column"):
        parts = _list(element.get("columns") if tag == "column_set" else element.get("elements"))
        return blocks({"elements": parts}, depth)
    return [{"kind": "unknown", "html": escape(f"[{tag}]")}]


def _button(action: dict[str, Any]) -> dict[str, Any]:
    multi = action.get("multi_url")
    url = action.get("url") or (multi.get("url") if isinstance(multi, dict) else None)
    kind = action.get("type") if action.get("type") in ("primary", "danger") else "default"
    return {"label": text_of(action.get("text")), "link": safe_link(url), "kind": kind}


def post_lines(post: dict[str, Any]) -> list[Markup]:
    """The lines of a rich text message."""
    return [Markup("").join(_post_part(part) for part in line) for line in post["content"]]


def _post_part(part: dict[str, Any]) -> Markup:
    text = _literal(str(part.get("text", "")))
    if part.get("tag") == "a":
        link = safe_link(part.get("href"))
        return anchor(link, text) if link else text
    if part.get("tag") == "at":
        name = "所有人" if part.get("user_id") == "all" else part.get("user_name") or "成员"
        return Markup('<span class="at">@{}</span>').format(name)
    return text


def text_message(text: str) -> Markup:
    """A text message knows one tag only: `<at user_id="…">name</at>`."""
    out, end = Markup(""), 0
    for found in re.finditer(r'<at user_id="([^"<>]{1,64})">([^<>]{0,64})</at>', text):
        name = "所有人" if found[1] == "all" else found[2] or "成员"
        out += _plain(text[end : found.start()]) + Markup('<span class="at">@{}</span>').format(name)
        end = found.end()
    return out + _plain(text[end:])


def _plain(text: str) -> Markup:
    return Markup("<br>").join(escape(line) for line in text.split("\n"))


def plain_text(kind: str, content: dict[str, Any]) -> tuple[str, str]:
    """(title, text) without any markup, for tests to search in."""
    if kind == "text":
        return "", content["text"]
    if kind == "post":
        return str(content.get("title", "")), "\n".join(_bare(line) for line in post_lines(content))
    head = header(content)
    lines = []
    for block in blocks(content):
        lines.extend(row["html"] for row in block.get("rows", ()))
        lines.extend(button["label"] for button in block.get("buttons", ()))
        if "html" in block:
            lines.append(block["html"])
    return _bare(head["title"]) if head else "", "\n".join(_bare(line) for line in lines)


def _bare(markup: Markup) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br>", "\n", str(markup))))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
