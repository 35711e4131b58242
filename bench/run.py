"""`python -m bench.run [NAME …] [--quick | --full] [--write]`: run the benchmarks, print their tables, keep them in
docs/performance.md.

A benchmark is a module of this package with TITLE and `run(context)`, which returns rows of a table.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import platform
import re
from pathlib import Path

import bench
from app import clock
from bench.charts import Chart
from bench.context import Context, Row, context

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
_FRAME = {"context", "run", "wallet_race", "web_floor"}


def names() -> list[str]:
    """The benchmarks; other modules here are scripts of their own."""
    found = [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in _FRAME]
    return [name for name in found if hasattr(importlib.import_module(f"bench.{name}"), "TITLE")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(names())}; all without")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", help="short rounds, small tables")
    size.add_argument("--full", dest="size", action="store_const", const="full", help="a million rows and families")
    parser.set_defaults(size="normal")
    parser.add_argument("--kept", metavar="NAME", help="use a database of this name, and leave it for the next run")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/performance.md")
    asked = parser.parse_args()
    for name in asked.names or names():
        module = importlib.import_module(f"bench.{name}")
        with context(size=asked.size, kept=asked.kept) as prepared:
            publish(name, module.TITLE, module.run(prepared), prepared, asked.size, write=asked.write)


def publish(name: str, title: str, rows: list[Row], prepared: Context, size: str | None, *, write: bool) -> None:
    """Print a benchmark's table and, with `write`, keep it and its charts. `size` is None where no rounds are."""
    table = render(rows, _circumstances(prepared, size))
    print(f"\n{title}\n\n{table}")
    if write:
        keep(name, title, "\n".join([table, *map(_picture, prepared.charts)]))


def render(rows: list[Row], circumstances: str) -> str:
    """A Markdown table; the last column says whether the goal was met."""
    lines = [circumstances, "", "| what | floor | measured | ratio | goal | |", "|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
        held = {True: "met", False: "**missed**", None: ""}[row.held]
        lines.append(f"| {row.what} | {row.floor} | {row.measured} | {ratio} | {row.goal} | {held} |")
    return "\n".join(lines)


def _circumstances(prepared: Context, size: str | None) -> str:
    with prepared.bare() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        version = cursor.fetchone()[0]
    busy = os.getloadavg()[0]
    rounds = f"size `{size}`, median of {prepared.rounds} rounds of {prepared.seconds:.0f} s, " if size else ""
    text = (
        f"{clock.today()}, {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()},"
        f" {version}, `innodb_flush_log_at_trx_commit=1`, {rounds}load {busy:.1f}."
    )
    return " ".join([text, *prepared.notes])


def _picture(chart: Chart) -> str:
    """The chart's file, and the line that shows it."""
    chart.write()
    return f"\n![{chart.title}](pictures/{chart.file})"


def keep(name: str, title: str, table: str) -> None:
    """Put a table between its marks in docs/performance.md, at the end when it is new."""
    page = PAGE.read_text() if PAGE.exists() else "# Performance\n"
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    block = f"{begin}\n{table}\n{end}"
    if begin in page:
        page = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, page, flags=re.DOTALL)
    else:
        page = f"{page.rstrip()}\n\n## {title}\n\n{block}\n"
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
