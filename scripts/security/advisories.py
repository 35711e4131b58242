"""The pinned parts against a list of advisories that somebody fetched: `DESK_ADVISORIES=file`.

The list is a JSON array of {"package", "fixed", "id", "severity"}: versions below `fixed` are affected.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from scripts.security.evidence import ROOT

_PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([0-9][^\s;]*)", re.MULTILINE)


def pinned() -> dict[str, str]:
    """Name → version of what the product and its tests are made of."""
    found: dict[str, str] = {}
    for file in ("requirements.txt", "requirements-dev.txt"):
        found |= {_folded(name): version for name, version in _PIN.findall((ROOT / file).read_text())}
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    return found | {path.removeprefix("node_modules/"): one["version"] for path, one in packages.items() if path}


def told() -> list[dict[str, Any]] | None:
    """The advisories of the file that DESK_ADVISORIES names; None where it names none."""
    name = os.environ.get("DESK_ADVISORIES")
    return json.loads(Path(name).read_text()) if name else None


def against(versions: dict[str, str], advisories: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The advisories that one of these versions is affected by."""
    return [
        {**one, "version": versions[name]}
        for one in advisories
        if (name := _folded(one["package"])) in versions and _parts(versions[name]) < _parts(one["fixed"])
    ]


def _folded(name: str) -> str:
    return re.sub(r"[_-]+", "-", name).lower()


def _parts(version: str) -> list[int]:
    parts = [int(part) for part in re.findall(r"\d+", version)]
    while parts and parts[-1] == 0:
        parts.pop()
    return parts
