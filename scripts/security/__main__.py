"""`python -m scripts.security [CHECK …]`: run the checks, keep their results, write docs/security.md (S14).

Without names all run; the page shows the last result of each. Exit 1 while a check has something open.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from scripts.security import attacks, checks, report


def main() -> None:
    parser = argparse.ArgumentParser(prog="make security", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"which: {', '.join(report.TITLES)}, or report")
    parser.add_argument("--examples", type=int, default=2000, help="inputs for each fuzz target")
    parser.add_argument("--seconds", type=int, default=90, help="of sqlmap for each address")
    asked = parser.parse_args()
    known: dict[str, Callable[[], checks.Result]] = {
        "static": checks.static,
        "dependencies": checks.dependencies,
        "tests": lambda: checks.tests(asked.examples),
        "sqlmap": lambda: attacks.sqlmap(asked.seconds),
        "contract": lambda: attacks.contract(max(asked.examples // 40, 5)),
    }
    wrong = [name for name in asked.checks if name not in known and name != "report"]
    if wrong:
        parser.error(f"no such check: {', '.join(wrong)}")
    found = [one for name, check in known.items() if name in (asked.checks or known) for one in run(name, check)]
    report.write()
    if found:
        sys.exit("\n".join(["open:", *found]))


def run(name: str, check: Callable[[], checks.Result]) -> list[str]:
    """Run one check and keep what it says; returns what is open."""
    print(f"· {report.TITLES[name]} …", flush=True)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    try:
        result = check()
    except checks.NotHere as reason:
        result = {"missing": str(reason)}
    report.keep(name, {"day": day, **result})
    print(f"  {len(result['open'])} open" if "open" in result else f"  not checked: {result['missing']}", flush=True)
    return result.get("open", [])


if __name__ == "__main__":
    main()
