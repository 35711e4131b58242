"""The checks that need no running product: linters, our own rules, dependencies, tests with their properties.

Each returns {"open": [sentences], "facts": {name: value}}; a check that could not run raises NotHere with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from scripts.security import advisories
from scripts.security.evidence import ROOT, abuses

Result = dict[str, Any]


class NotHere(Exception):
    """What the check needs is not on this machine; the sentence says what."""


def _run(*command: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True
    )


def static() -> Result:
    """ruff's security rules, bandit, and the project's own rules."""
    ruff = json.loads(_run("ruff", "check", ".", "--select", "S", "--ignore", "S101", "--output-format", "json").stdout)
    bandit = json.loads(
        _run("bandit", "-q", "-c", "pyproject.toml", "-r", "app", "tasks", "sandbox", "scripts", "-f", "json").stdout
    )
    rules = _run("scripts.rules").stdout.splitlines()
    found = [f"ruff {one['code']} {Path(one['filename']).relative_to(ROOT)}:{one['location']['row']}" for one in ruff]
    found += [
        f"bandit {one['issue_severity'].lower()} {one['test_id']} {one['filename']}:{one['line_number']}"
        for one in bandit["results"]
    ]
    lines = bandit["metrics"]["_totals"]["loc"]
    facts = {"ruff S": len(ruff), "bandit": len(bandit["results"]), "own rules": len(rules), "lines": lines}
    return {"open": found + rules, "facts": facts}


def dependencies() -> Result:
    """Pinned versions against the advisories that were fetched."""
    told, versions = advisories.told(), advisories.pinned()
    if told is None:
        raise NotHere(f"{len(versions)} pinned packages, no list of advisories was given (DESK_ADVISORIES=file)")
    found = advisories.against(versions, told)
    sentences = [f"{one['severity']} {one['id']}: {one['package']} {one['version']}, mended in {one['fixed']}"
                 for one in found]  # fmt: skip
    return {"open": sentences, "facts": {"packages": len(versions), "advisories": len(told)}}


def tests(examples: int) -> Result:
    """The abuses, the crawl of every role, the route matrix, and fuzzing with `examples` inputs a target."""
    wanted = {test for one in abuses() for test in one["tests"]}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        _run(
            "pytest", "-q", "tests/security", "tests/fuzz", "tests/architecture/test_routes.py", *sorted(wanted),
            f"--junitxml={report}", "-o", "junit_family=xunit1", "-p", "no:cacheprovider", "--timeout=3000",
            DESK_CRAWL_ROLES="all", DESK_FUZZ_EXAMPLES=str(examples),
        )  # fmt: skip
        if not report.exists():
            raise NotHere("pytest did not end")
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it just now
    broken = [f"{case.get('classname')}::{case.get('name')}: {why}" for case in cases if (why := _why(case))]
    facts: dict[str, Any] = {"tests": len(cases), "inputs a fuzz target": examples}
    for case in cases:
        facts |= {item.get("name", ""): item.get("value") for item in case.iter("property")}
    return {"open": [f"failed: {name}" for name in broken], "facts": facts}


def _why(case: ElementTree.Element) -> str | None:
    """The first words of what failed in a test; None for one that passed."""
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            return " ".join((found.get("message") or kind).split())[:200]
    return None
