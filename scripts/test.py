"""`make test`: the suite with coverage, or what ARGS names without it. `make test-faults`: the slow proofs.

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
MOST = 3


def main() -> None:
    chosen = sys.argv[1:]
    faults = "--faults" in chosen
    chosen = [arg for arg in chosen if arg != "--faults"]
    whole = not any(arg.startswith("tests") for arg in chosen)
    options = []
    if faults:
        # One after another: they kill and time processes, and wait more than they work.
        options = ["-m", "faults", "--durations=25"]
    elif whole:
        # Half of the time is spent waiting for databases and processes, so one more than there are cores.
        workers = str((os.cpu_count() or 1) + 1)
        options = ["-m", "not faults", "--cov", "--cov-report=term:skip-covered", "-n", workers]
        options += ["--no-loadscope-reorder", "--durations=25"]
    code = pytest(*chosen, *options)
    failed = failures() if (whole or faults) and code == 1 else []
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
