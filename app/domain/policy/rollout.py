"""For whom a capability is open (Z15): nobody, named families, a part of all families, or all of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

ALL, OFF = "all", "off"
_NAMED = "families:"
_PERCENT = re.compile(r"([1-9][0-9]?)%", re.ASCII)
_IDS = re.compile(r"[1-9][0-9]{0,14}(,[1-9][0-9]{0,14})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rollout:
    """`percent` of the families, and those that are named whatever the percent is."""

    percent: int = 0
    families: frozenset[int] = frozenset()

    def is_open(self, capability: str, family_id: int | None) -> bool:
        """Whether this family is among them; nobody's family is only where all are."""
        if self.percent == 100 or family_id in self.families:
            return True
        return family_id is not None and bucket(capability, family_id) < self.percent


def bucket(capability: str, family_id: int) -> int:
    """0–99, the same for ever, so that a growing percent only adds families. Each capability has an order of its own:
    else the same families would try out everything that is new."""
    digest = hashlib.sha256(f"{capability}:{family_id}".encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") % 100


def merged(text: str, gone: int, heir: int) -> str:
    """The same range as it is written, after one family was merged into another: the heir stands where that stood."""
    if not text.startswith(_NAMED):
        return text
    named = [heir if one == gone else one for one in map(int, text.removeprefix(_NAMED).split(","))]
    return _NAMED + ",".join(map(str, dict.fromkeys(named)))


def rollout(text: str) -> Rollout:
    """`off`, `all`, `25%` or `families:12,57`. Raises ValueError."""
    if text == ALL:
        return Rollout(percent=100)
    if text == OFF:
        return Rollout()
    if found := _PERCENT.fullmatch(text):
        return Rollout(percent=int(found[1]))
    if text.startswith(_NAMED) and _IDS.fullmatch(ids := text.removeprefix(_NAMED)):
        return Rollout(families=frozenset(map(int, ids.split(","))))
    raise ValueError("范围写作 all（全部）、off（关闭）、25%（1 到 99）或 families:12,57（家庭编号）")
