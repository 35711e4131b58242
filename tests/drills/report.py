"""What a drill says at its end: a Markdown table, the same as JSON, and an exit code that a script can read."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass
class Report:
    """Figures and checks of one drill, in the order in which they were noted."""

    drill: str
    figures: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def note(self, **figures: Any) -> None:
        self.figures |= figures

    def check(self, what: str, holds: bool) -> None:
        """A sentence that has to be true; said at once, for a drill is long."""
        self.checks[what] = self.checks.get(what, True) and bool(holds)
        if not holds:
            say(f"DOES NOT HOLD: {what}")

    @property
    def fine(self) -> bool:
        return bool(self.checks) and all(self.checks.values())

    def as_data(self) -> dict[str, Any]:
        seconds = (datetime.now(UTC) - self.began).total_seconds()
        return {
            "drill": self.drill, "at": self.began.isoformat(timespec="seconds"), "seconds": round(seconds),
            "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}",
            "figures": self.figures, "checks": self.checks, "fine": self.fine,
        }  # fmt: skip

    def as_markdown(self) -> str:
        data = self.as_data()
        lines = [f"### {self.drill}, {data['at']}, {data['seconds']} s, {data['machine']}", "", "| what | figure |"]
        lines += [
            "|---|---|",
            *(f"| {name.replace('_', ' ')} | {_plain(value)} |" for name, value in self.figures.items()),
        ]
        lines += ["", *(f"- {'✓' if holds else '✗'} {what}" for what, holds in self.checks.items())]
        return "\n".join(lines)

    def finish(self, file: Path | None = None) -> None:
        """Print it, keep it as JSON where asked, and end the process: 0 when every check held."""
        print(self.as_markdown(), flush=True)
        if file is not None:
            file.write_text(json.dumps(self.as_data(), ensure_ascii=False, indent=2))
        sys.exit(0 if self.fine else 1)


def say(text: str) -> None:
    """One line of progress, at once."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in sorted(value.items()))
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
