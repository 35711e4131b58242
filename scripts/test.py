"""`make test`: the suite, or what ARGS names. `make test-faults`: the slow proofs. `make coverage`: both, each test on
each database, counting the lines and branches that they reach, which takes four times as long.

Tests that start processes and watch the clock share the machine with those that run beside them. A few that fail in
the whole suite are run once more, alone, and named; a second failure is a failure: docs/decisions/0018-once-more.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: more than these are no accident
MOST = 5
# The lines with a browser and the one of processes wait more than they work, so two more than there are cores.
_SPREAD = ["-n", str((os.cpu_count() or 1) + 2), "--no-loadscope-reorder", "--durations=25"]
TIERS = {
    "--suite": ["-m", "not faults", "--in-turn", *_SPREAD],
    # One after another: they kill and time processes, and wait more than they work.
    "--faults": ["-m", "faults", "--durations=25"],
    "--coverage": [*_SPREAD, "--cov", "--cov-report=term:skip-covered"],
}


def main() -> None:
    chosen = sys.argv[1:]
    tier = chosen.pop(0) if chosen and chosen[0] in TIERS else None
    whole = tier is not None or not any(arg.startswith("tests") for arg in chosen)
    code = pytest(*chosen, *(TIERS[tier or "--suite"] if whole else ()))
    failed = failures() if whole and code == 1 else []
    if failed and len(failed) <= MOST:
        print("\nonce more, alone:", *failed, sep="\n  ", flush=True)
        code = pytest(*failed)
    sys.exit(code)


def pytest(*arguments: str) -> int:
    # Redirected or piped, colours would only be noise; and nothing here may wait for somebody to type.
    command = [sys.executable, "-m", "pytest", *arguments]
    # Some hundred processes are started: each would compile the code anew where the environment forbids to keep it.
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(ROOT / ".pytest_cache" / "bytecode")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL).returncode


def failures() -> list[str]:
    """What the last run says has failed."""
    try:
        return list(json.loads((ROOT / ".pytest_cache/v/cache/lastfailed").read_text()))
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    main()
