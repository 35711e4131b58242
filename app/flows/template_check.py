"""`flask doctor`: do our templates and WeChat's list agree (N13)?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app import config
from app.domain.outbox.kinds import KINDS, Kind
from app.gateways import wechat_mini

#: a field in WeChat's `content`: 课程名称:{{thing1.DATA}}
_FIELD = re.compile(r"\{\{\s*([a-z_]+\d+)\.DATA\s*\}\}")


@dataclass(frozen=True, slots=True)
class Difference:
    """One template that would be refused; `problem` says why, `remedy` what to do."""

    type: str
    template_id: str
    problem: str
    remedy: str


def differences() -> list[Difference]:
    """Every message type whose template is missing at WeChat or has other fields. Raises GatewayError."""
    settings = config.current()
    listed = {item["priTmplId"]: item for item in wechat_mini.from_settings(settings).list_templates()}
    found = []
    for kind in KINDS.values():
        template_id = settings.templates[kind.type]
        problem = _problem(kind, listed.get(template_id))
        if problem:
            setting = f"DESK_TEMPLATE_{kind.type.upper()}"
            found.append(Difference(kind.type, template_id, problem, f"在小程序后台核对模板，并设置 {setting}"))
    return found


def _problem(kind: Kind, item: dict | None) -> str | None:
    if item is None:
        return "小程序后台没有这个模板"
    theirs = set(_FIELD.findall(str(item.get("content", ""))))
    ours = {field.key for field in kind.fields}
    parts = []
    if ours - theirs:
        parts.append(f"模板里没有字段 {'、'.join(sorted(ours - theirs))}")
    if theirs - ours:
        parts.append(f"我们不填字段 {'、'.join(sorted(theirs - ours))}")
    return "；".join(parts) or None
