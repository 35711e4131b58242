"""A thousand people at once who think between their actions (90): parents at the mini program and staff at the portal,
four of five requests reading, against gunicorn, worker, scheduler and Redis as in production; then fewer and more."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass

import requests

from app.db import db
from app.domain.ledger import verify
from bench import crowd_data, studio
from bench.charts import Chart, Line
from bench.context import Context, Row
from bench.visitors import MONEY, QUEUE, READ, THINK, Heard, crowd

TITLE = "A thousand people"
PEOPLE = 1000
OTHERS = (250, 500, 2000)
#: seconds, of which the first are not counted: connections open, statements are compiled
WARM = 15.0
READS_MS, MONEY_MS, SCRAPE_MS = 100.0, 200.0, 200.0


@dataclass(frozen=True)
class Trial:
    """So many people for so many seconds, and what each part of the studio used of one core."""

    people: int
    seconds: float
    heard: Heard
    cores: dict[str, float]
    #: MB of all web processes together, afterwards
    memory: float

    @property
    def rate(self) -> float:
        return self.heard.total / self.seconds


def run(context: Context) -> list[Row]:
    quick = context.seconds < 2
    counts = (40, 80) if quick else (PEOPLE, *OTHERS)
    scene = crowd_data.make(context, parents=max(counts), families=2_000 if quick else 20_000)
    trials = []
    with studio.running(context) as running:
        studio.await_healthy(running.url)
        crowd_data.allow_at_wechat(context, running, scene, max(counts))
        for count in counts:
            seconds = 8.0 if quick else 60.0 if count == PEOPLE else 30.0
            trials.append(live(running, scene, count, WARM, seconds))
        scrape = _scrape(running)
    with context.app.app_context():
        report = verify.run(full=True)
        db.session.remove()
    first = trials[0]
    context.notes.append(
        f"{THINK[0]:.0f}–{THINK[1]:.0f} s of thinking between an answer and the next action, one of ten people is"
        f" staff, limits on, messages sent; {len(first.heard.of(READ)) / first.heard.total:.0%} of the"
        f" requests read. Refusals, which are answers: {_words(first.heard.refusals)}."
        f" Connections that had rested and were opened again: {first.heard.reopened:,}."
    )
    context.notes += [f"Error with {trial.people:,}: {what} ({count})." for trial in trials
                      for what, count in trial.heard.errors.most_common(3)]  # fmt: skip
    trials.sort(key=lambda trial: trial.people)
    context.charts.append(_chart(trials))
    sound = Row("ledger verify --full afterwards", "–", "sound" if report.sound else str(report.findings[:2]), None,
                "sound", report.sound)  # fmt: skip
    return [
        *_rows(first),
        sound,
        scrape,
        *(row for trial in trials if trial is not first for row in _grown(trial, first)),
    ]


def live(running: studio.Studio, scene: crowd_data.Scene, count: int, warm: float, seconds: float) -> Trial:
    """One trial; the processor time is that of warming up as well, by second."""
    heard = Heard()
    before = running.seconds()
    own = studio.processor_time(studio.os.getpid())
    asyncio.run(crowd(crowd_data.people(running, scene, heard, count), heard, warm=warm, seconds=seconds))
    after = running.seconds()
    cores = {what: (after[what] - before[what]) / (warm + seconds) for what in after if what in before}
    cores["these people"] = (studio.processor_time(studio.os.getpid()) - own) / (warm + seconds)
    return Trial(count, seconds, heard, cores, sum(studio.resident(pid) or 0.0 for pid in running.pids("web")))


def _scrape(running: studio.Studio) -> Row:
    """`/metrics` on what they have left behind, nobody else there."""
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        text = requests.get(f"{running.url}/metrics", timeout=60).text
        taken.append((time.perf_counter() - began) * 1000)
    reads = re.findall(r'desk_metrics_read_seconds\{read="(\w+)"\} (\S+)', text)
    slow = sorted(((float(seconds) * 1000, name) for name, seconds in reads), reverse=True)[:3]
    words = ", ".join(f"{name} {milliseconds:.0f} ms" for milliseconds, name in slow)
    median = at(taken, 0.5)
    return Row("`GET /metrics` afterwards", "–", f"p50 {median:.0f} ms ({words})", None, f"< {SCRAPE_MS:.0f} ms",
               median < SCRAPE_MS)  # fmt: skip


def _rows(trial: Trial) -> list[Row]:
    heard, people = trial.heard, f"{trial.people:,} people"
    errors = sum(heard.errors.values())
    return [
        Row(f"{people}, {trial.seconds:.0f} s: errors", "–", f"{errors} of {heard.total:,}, {trial.rate:.0f}/s", None,
            "0", not errors),
        _goal(f"{people}: all reads", heard.of(READ), READS_MS),
        _goal(f"{people}: money (booking, cancelling, adjusting)", heard.of(MONEY), MONEY_MS),
        _goal(f"{people}: parents' reads", heard.of(READ, "parent"), READS_MS),
        _goal(f"{people}: staff's pages and searches", heard.of(READ, "staff"), READS_MS),
        _goal(f"{people}: booking", heard.of(MONEY, "parent books"), MONEY_MS),
        _goal(f"{people}: adjusting by the form", heard.of(MONEY, "staff"), MONEY_MS),
        _goal(f"{people}: joining and leaving a queue", heard.of(QUEUE), MONEY_MS),
        Row(f"{people}: cores used", "–", _cores(trial), None, "–", None),
        Row(f"{people}: memory of all web processes afterwards", "–", f"{trial.memory:.0f} MB", None, "–", None),
    ]  # fmt: skip


def _grown(trial: Trial, first: Trial) -> list[Row]:
    heard, people = trial.heard, f"{trial.people:,} people, {trial.seconds:.0f} s"
    errors = sum(heard.errors.values())
    ratio = at(heard.of(READ), 0.95) / at(first.heard.of(READ), 0.95)
    return [
        Row(f"{people}: reads, money", f"{first.people:,} people", f"p95 {at(heard.of(READ), 0.95):.0f} ms,"
            f" {at(heard.of(MONEY), 0.95):.0f} ms; {errors} errors, {trial.rate:.0f}/s", ratio, "–", None),
        Row(f"{people}: cores used", "–", f"{_cores(trial)}; web {trial.memory:.0f} MB afterwards", None, "–", None),
    ]  # fmt: skip


def _goal(what: str, taken: list[float], most: float) -> Row:
    p95 = at(taken, 0.95)
    text = f"p50 {at(taken, 0.5):.0f}, p95 {p95:.0f}, p99 {at(taken, 0.99):.0f} ms ({len(taken):,})"
    return Row(what, "–", text, None, f"p95 < {most:.0f} ms", p95 < most)


def at(taken: list[float], share: float) -> float:
    """The time within which this share had their answer; NaN of none."""
    ordered = sorted(taken)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def _cores(trial: Trial) -> str:
    used = sorted(trial.cores.items(), key=lambda item: -item[1])
    return ", ".join(f"{what} {share:.2f}" for what, share in used if share >= 0.005)


def _words(counted: Counter) -> str:
    return ", ".join(f"{what} {count}" for what, count in counted.most_common()) or "none"


def _chart(trials: list[Trial]) -> Chart:
    people = [trial.people for trial in trials]
    return Chart(
        name="users", title="p95 by people at once", x_title="people", y_title="ms", x=people, log_y=True,
        lines=[
            Line("reads", [at(trial.heard.of(READ), 0.95) for trial in trials]),
            Line("money", [at(trial.heard.of(MONEY), 0.95) for trial in trials]),
            Line("goal for reads", [READS_MS] * len(trials), floor=True),
            Line("goal for money", [MONEY_MS] * len(trials), floor=True),
        ],
    )  # fmt: skip
