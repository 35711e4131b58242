"""A median or percentile of measured values: by nearest rank, so that it is a value that one of them really had."""

from __future__ import annotations

from collections.abc import Sequence


def nearest_rank(ordered: Sequence[int], percent: int) -> int | None:
    """The smallest of the ascending values that at least `percent` of 100 do not exceed; None of none."""
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1] if ordered else None
