"""`make test`: the whole suite with coverage, or what ARGS names without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    chosen = sys.argv[1:]
    command = [sys.executable, "-m", "pytest", *chosen]
    if not any(arg.startswith("tests") for arg in chosen):
        # Half of the time is spent waiting for databases and processes, so one more than there are cores.
        workers = str((os.cpu_count() or 1) + 1)
        command += ["--cov", "--cov-report=term:skip-covered", "-n", workers, "--dist", "loadfile"]
    # Redirected or piped, colours would only be noise; and nothing here may wait for somebody to type.
    sys.exit(subprocess.run(command, cwd=ROOT, env=os.environ, stdin=subprocess.DEVNULL).returncode)


if __name__ == "__main__":
    main()
