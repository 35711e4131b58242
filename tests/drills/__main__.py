"""`make drill ARGS="NAME …"`: one drill by its name; without a name, the list of them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def names() -> list[str]:
    """The drills there are: modules of this folder with a `main`."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [file.stem for file in files if file.stem != "__main__" and "\ndef main(" in file.read_text()]


def run() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in names():
        for name in names():
            says = importlib.import_module(f"tests.drills.{name}").__doc__.strip().splitlines()[0]
            print(f"{name:10} {says}")
        sys.exit(2 if len(sys.argv) > 1 else 0)
    name = sys.argv.pop(1)
    importlib.import_module(f"tests.drills.{name}").main()


run()
