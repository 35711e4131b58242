"""The parents of the demo. The app's demo data gives the same openids their families, classes and balances."""

from __future__ import annotations

import re
from dataclasses import dataclass

OPENID = re.compile(r"[A-Za-z0-9_-]{6,64}")


@dataclass(frozen=True)
class Parent:
    openid: str
    name: str
    phone: str  # what the phone number button hands over; empty: the page asks


DEMO_PARENTS = tuple(
    Parent(f"demo-parent-{number:02d}", name, f"1390000{number:04d}")
    for number, name in enumerate(
        ("张女士", "李先生", "王女士", "陈先生", "刘女士", "赵先生", "欧阳女士", "周女士"), start=1
    )
)
