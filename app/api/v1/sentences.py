"""pydantic's errors as Chinese sentences that name the field (R8)."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

_SENTENCES = {
    "missing": "缺少{label}",
    "string_type": "{label}应为文字",
    "string_too_short": "{label}至少 {min_length} 个字",
    "string_too_long": "{label}最多 {max_length} 个字",
    "bool_type": "{label}只能是 true 或 false",
    "literal_error": "{label}只能是 {expected}",
    "dict_type": "{label}应为 JSON 对象",
}
_VALUE = re.compile(r"'([^']*)'")
#: what our own types raise (app/api/v1/fields.py): the sentence is the context's
OWN = "desk"


def sentences(model: type[BaseModel], error: ValidationError) -> dict[str, list[str]]:
    """Field path → its sentences."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        # Of a map's wrong key pydantic says `key.[key]`; a stranger's key is not told back at any length.
        path = ".".join(str(part)[:64] for part in item["loc"] if part != "[key]") or "body"
        found.setdefault(path, []).append(_sentence(_label(model, item["loc"]), item["type"], item.get("ctx") or {}))
    return found


def _sentence(label: str, kind: str, context: dict[str, Any]) -> str:
    if kind == OWN:
        return context["sentence"].format(label=label)
    if kind == "literal_error":
        # pydantic writes a plain value as `'a'` and a member of an enumeration as `<Name.A: 'a'>`.
        context = {"expected": "、".join(_VALUE.findall(context["expected"]))}
    return _SENTENCES.get(kind, "{label}的格式不正确").format(label=label, **context)


def _label(model: type[BaseModel], path: tuple[int | str, ...]) -> str:
    name = str(path[0]) if path else ""
    for field_name, info in model.model_fields.items():
        if name in (field_name, info.alias):
            return info.title or name
    return name
