"""The assessed requirements and the abuses, kept as data in docs/security, and whether their evidence exists."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "security"


def requirements() -> list[dict[str, Any]]:
    """ASVS requirements: id, level, what, state (met, open, n/a), evidence or why, perhaps a note."""
    return tomllib.loads((FOLDER / "asvs.toml").read_text())["requirement"]


def abuses() -> list[dict[str, Any]]:
    """The twenty: number, what, prevents, shows, tests."""
    return tomllib.loads((FOLDER / "abuses.toml").read_text())["abuse"]


def missing(evidence: list[str]) -> Iterator[str]:
    """What of these paths and `path::test` is not there."""
    for one in evidence:
        path, _, test = one.partition("::")
        file = ROOT / path
        if not file.exists() or (test and test not in _tests(file)):
            yield one


@cache
def _tests(file: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE))
