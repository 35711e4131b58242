"""Ranks for an order that staff chose (Q3): pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime


def for_order(entries: Sequence[tuple[datetime, int]]) -> list[int]:
    """The ranks that put entries, given as (joined_at, id), into just this order.

    They end at 0 and never rise above it, so that whoever joins later still stands last; towards the front they fall
    by one only where the order of joining is broken.
    """
    ranks = [0] * len(entries)
    for place in range(len(entries) - 2, -1, -1):
        broken = entries[place] > entries[place + 1]
        ranks[place] = ranks[place + 1] - (1 if broken else 0)
    return ranks
