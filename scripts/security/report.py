"""docs/security.md from the data, the results of the last run of each check, and the route matrix."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from scripts.security.evidence import FOLDER, ROOT, abuses, requirements

PAGE = ROOT / "docs" / "security.md"
RESULTS = FOLDER / "results.json"
_BEGIN, _END = "<!-- made by `make security`: do not edit below -->", "<!-- end of what is made -->"

TITLES = {
    "static": "Static checks", "dependencies": "Dependencies", "tests": "Abuses, crawl, route matrix, fuzzing",
    "sqlmap": "sqlmap", "contract": "schemathesis",
}  # fmt: skip
CHAPTERS = {
    1: "Encoding", 2: "Validation and business logic", 3: "Web front end", 4: "API", 5: "Files", 6: "Authentication",
    7: "Sessions", 8: "Authorization", 9: "Self-contained tokens", 10: "OAuth and OIDC", 11: "Cryptography",
    12: "Communication", 13: "Configuration", 14: "Data protection", 15: "Architecture", 16: "Logging and errors",
    17: "WebRTC",
}  # fmt: skip


def results() -> dict[str, dict[str, Any]]:
    """Name of a check → its last result, with the day."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(name: str, result: dict[str, Any]) -> None:
    """Write down what a check found, beside the others' last results."""
    every = results() | {name: result}
    RESULTS.write_text(json.dumps(every, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def write() -> None:
    """Write the page anew; what stands above the mark is by hand and stays."""
    before = PAGE.read_text().partition(_BEGIN)[0] if PAGE.exists() else "# Security\n\n"
    PAGE.write_text(before + "\n".join([_BEGIN, "", *_body(), _END, ""]))


def _body() -> Iterator[str]:
    yield from _open()
    yield from _checks()
    yield from _abuses()
    yield from _asvs()
    yield from _routes()


def open_items() -> list[str]:
    """What is open: findings of checks, requirements that are not met, checks that never ran."""
    found, last = [], results()
    for name, title in TITLES.items():
        if name not in last or "missing" in last[name]:
            found.append(f"{title}: not checked here: {last.get(name, {}).get('missing', 'never run')}")
        found += last.get(name, {}).get("open", [])
    return found + [
        f"ASVS {one['id']}, {one['what']}: {one['why']}" for one in requirements() if one["state"] == "open"
    ]


def _open() -> Iterator[str]:
    found = open_items()
    yield from ("## Open", "", *(f"- {one}" for one in found or ["nothing"]), "")


def _checks() -> Iterator[str]:
    yield from ("## Checks", "", "| Check | Day | Open | Figures |", "|---|---|---|---|")
    for name, title in TITLES.items():
        one = results().get(name, {})
        figures = ", ".join(f"{key} {value}" for key, value in one.get("facts", {}).items()) or one.get(
            "missing", "never run"
        )
        count = len(one["open"]) if "open" in one else "not checked"
        yield f"| {title} | {one.get('day', '–')} | {count} | {figures} |"
    yield ""


def _abuses() -> Iterator[str]:
    yield from ("## The twenty abuses", "", "| # | Abuse | Prevented by | Seen by | Tests |", "|---|---|---|---|---|")
    for one in abuses():
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in one["tests"])
        yield f"| {one['number']} | {one['what']} | {one['prevents']} | {one['shows']} | {tests} |"
    yield ""


def _asvs() -> Iterator[str]:
    every = requirements()
    counted = Counter(one["state"] for one in every)
    yield from ("## OWASP ASVS 5.0.0, level 2 and chosen requirements of level 3", "")
    yield f"Assessed by ourselves: {counted['met']} met, {counted['open']} open, {counted['n/a']} not applicable."
    for chapter, title in CHAPTERS.items():
        yield from (
            "",
            f"### {chapter}. {title}",
            "",
            "| Id | L | Requirement | State | Evidence or reason |",
            "|---|---|---|---|---|",
        )
        for one in every:
            if one["id"].partition(".")[0] == str(chapter):
                said = "<br>".join(f"`{path}`" for path in one.get("evidence", ())) or one["why"]
                note = f"<br>{one['note']}" if "note" in one else ""
                yield f"| {one['id']} | {one['level']} | {one['what']} | {one['state']} | {said}{note} |"
    yield ""


def _routes() -> Iterator[str]:
    from tests.architecture.route_matrix import ROUTES

    roles = ("front_desk", "finance", "manager", "auditor", "admin")
    yield from ("## Routes and roles", "", f"{len(ROUTES)} routes; what is not in the matrix fails the tests.", "")
    yield from (f"| Route | Others | {' | '.join(roles)} |", f"|---|---|{'---|' * len(roles)}")
    for line, who in sorted(ROUTES.items(), key=lambda item: item[0].split(" ")[::-1]):
        others = who if who in ("public", "parent", "signed") else ""
        marks = " | ".join("✓" if who == "public" or role in who.split() else "" for role in roles)
        yield f"| `{line}` | {others} | {marks} |"
    yield ""
