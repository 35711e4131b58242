"""Does a web or a worker process grow while it works (90)? A crowd lives on a whole studio for a long time, the memory
of each process is looked at every few seconds, and a straight line through what was seen says by how much it grows.

    python -m bench.memory --minutes 60 --people 300 [--write]

The first minutes do not count: a process loads and keeps what it needs then. A worker process ends by itself after
5,000 jobs; the one that follows is another line.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from app.db import db
from app.domain.outbox.models import Notification
from bench import crowd_data, studio
from bench.charts import Chart, Line
from bench.context import Context, Row, context
from bench.run import publish
from bench.visitors import MONEY, READ, THINK, Heard, crowd

TITLE_HERE = "Memory"
EVERY = 5.0
#: MB an hour below which a slope is no growth: what sampling a working process gives by itself
LEVEL = 8.0
#: a process must be seen for this share of the time to be judged
SEEN = 0.5


@dataclass
class Samples:
    """(second, MB) of each process by what it is."""

    seen: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, running: studio.Studio, second: float) -> None:
        for what in ("web", "worker", "scheduler"):
            for pid in running.pids(what):
                megabytes = studio.resident(pid)
                if megabytes is not None:
                    self.seen[what, pid].append((second, megabytes))


def slope(samples: list[tuple[float, float]]) -> float:
    """MB an hour, by least squares."""
    seconds, megabytes = zip(*samples, strict=True)
    return statistics.linear_regression(seconds, megabytes).slope * 3600


def measure(prepared: Context, *, people: int, minutes: float, settle: float) -> list[Row]:
    """Let `people` live for so many minutes after `settle` minutes of warming up."""
    scene = crowd_data.make(prepared, parents=people, families=2_000)
    heard, samples, stop = Heard(), Samples(), threading.Event()
    with studio.running(prepared) as running:
        studio.await_healthy(running.url)
        crowd_data.allow_at_wechat(prepared, running, scene, people)
        began = time.monotonic()

        def watch() -> None:
            while not stop.wait(EVERY):
                samples.take(running, time.monotonic() - began)

        watcher = threading.Thread(target=watch)
        watcher.start()
        lives = crowd(crowd_data.people(running, scene, heard, people), heard, warm=settle * 60, seconds=minutes * 60)
        asyncio.run(lives)
        stop.set()
        watcher.join()
    with prepared.app.app_context():
        sent = db.session.query(Notification).filter_by(status="sent").count()
        db.session.remove()
    prepared.notes.append(
        f"{people:,} people with {THINK[0]:.0f}–{THINK[1]:.0f} s of thinking for {minutes:.0f} minutes, after"
        f" {settle:.0f} that do not count: {heard.total:,} requests, {len(heard.of(MONEY)):,} of them money,"
        f" {len(heard.of(READ)):,} reads, {sum(heard.errors.values())} errors; {sent:,} messages sent by workers."
    )
    prepared.notes += [f"Error: {what} ({count})." for what, count in heard.errors.most_common(4)]
    return _rows(prepared, samples, settle * 60, minutes * 60)


def _rows(prepared: Context, samples: Samples, settle: float, seconds: float) -> list[Row]:
    rows, lines, grid = [], [], None
    for (what, _), seen in samples.seen.items():
        counted = [sample for sample in seen if sample[0] >= settle]
        if not counted or counted[-1][0] - counted[0][0] < seconds * SEEN:
            continue
        grown, later = slope(counted), slope(counted[len(counted) // 2 :])
        name = f"{what} {sum(row.what.startswith(what) for row in rows) + 1}"
        first, last, most = counted[0][1], counted[-1][1], max(megabytes for _, megabytes in counted)
        rows.append(
            Row(f"{name}: slope", f"{first:.1f} MB when it began to count", f"{last:.1f} MB, at most {most:.1f};"
                f" {grown:+.2f} MB an hour, {later:+.2f} in the second half", None,
                f"level: < {LEVEL:.0f} MB an hour", later < LEVEL)
        )  # fmt: skip
        grid = grid or [settle / 60 + (number + 1) * seconds / 60 / 12 for number in range(12)]
        lines.append(Line(name, [_near(counted, minute * 60) for minute in grid]))
    if grid:
        prepared.charts.append(Chart("memory", "Memory of each process", "minutes", "MB", grid, lines, even=True))
    return rows


def _near(samples: list[tuple[float, float]], second: float) -> float:
    return min(samples, key=lambda sample: abs(sample[0] - second))[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--settle", type=float, default=3, help="minutes before that which do not count")
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/performance.md")
    asked = parser.parse_args()
    with context(size="normal") as prepared:
        rows = measure(prepared, people=asked.people, minutes=asked.minutes, settle=asked.settle)
        publish("memory", TITLE_HERE, rows, prepared, None, write=asked.write)


if __name__ == "__main__":
    main()
