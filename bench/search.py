"""Search while typing in a million families (U2): name, pinyin, initials, mixed, phone tail, numbers; server time."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import sqlalchemy as sa

from app.cli.demo import large
from app.db import db
from app.domain.people.models import Profile, User
from app.domain.search import queries
from app.domain.search.terms import normalized, spellings
from bench import context as bench
from bench.charts import Chart, Line
from bench.context import Context, Row

TITLE = "Search"
#: searches of each kind
EACH = 150
GOAL = 100.0
#: kinds that are made of names that are there
_OF_SOMEBODY = {"one surname alone", "name", "pinyin", "initials", "张xm", "zhangxm"}


def run(context: Context) -> list[Row]:
    """Of a tenth of the families, in a database of their own, and of all. The judgement is of all."""
    with bench.context(size="quick") as smaller:
        smaller.families = context.families // 10
        few = _measure(smaller)
    many = _measure(context)
    context.charts.append(
        Chart(
            name="search", title="p95 of a search while typing", x_title="families", y_title="ms",
            x=[few.families, many.families],
            lines=[Line(kind, [few.p95[kind], many.p95[kind]]) for kind in many.p95],
        )
    )  # fmt: skip
    return [
        Row(f"{kind}, {many.families:,} families, p95 of {EACH}", f"{few.families:,} families: {few.p95[kind]:.1f} ms",
            f"{worst:.1f} ms", worst / few.p95[kind], f"< {GOAL:.0f} ms", worst < GOAL)
        for kind, worst in many.p95.items()
    ] + [Row("one row by its key, p95", f"{few.floor:.2f} ms", f"{many.floor:.2f} ms", None, "–", None)]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """p95 in milliseconds of each kind of search, and of one row by its primary key."""

    families: int
    floor: float
    p95: dict[str, float]


def _measure(context: Context) -> Measured:
    """Builds the families, then types what people type."""
    with context.app.app_context():
        filled = large.fill(families=context.families, transactions=None, say=print)
        db.session.execute(sa.text("ANALYZE TABLE search_terms, users, profiles, families"))
        db.session.rollback()
        names = _names()
        floor = _p95([_by_key(user_id) for user_id in random.Random(3).choices(range(1, filled.families), k=500)])
        worst = {}
        for kind, typed in _kinds(names).items():
            worst[kind] = _p95([_search(query) for query in typed])
            if kind in _OF_SOMEBODY and not all(queries.find(query, limit=8) for query in typed):
                raise SystemExit(f"{kind}: somebody was not found")
        db.session.rollback()
        db.session.remove()
    return Measured(filled.families, floor, worst)


def _names() -> list[str]:
    """Students' names from all over the table."""
    dice, top = random.Random(7), db.session.scalar(sa.select(sa.func.max(Profile.id)))
    wanted = [dice.randint(1, top) for _ in range(EACH)]
    return list(db.session.scalars(sa.select(Profile.name).where(Profile.id.in_(wanted))))


def _kinds(names: list[str]) -> dict[str, list[str]]:
    """What a person types on the way to each name: every prefix from the second letter on, in turn."""
    dice = random.Random(11)

    def cut(word: str) -> str:
        return word[: dice.randint(min(2, len(word)), len(word))]

    spelt = [spellings(normalized(name))[0] for name in names]
    return {
        "one surname alone": [name[0] for name in names],
        "name": [cut(name) for name in names],
        "pinyin": [cut("".join(syllables)) for syllables in spelt],
        "initials": ["".join(s[0] for s in syllables) for syllables in spelt],
        "张xm": [name[0] + "".join(s[0] for s in syllables[1:]) for name, syllables in zip(names, spelt, strict=True)],
        "zhangxm": [syllables[0] + "".join(s[0] for s in syllables[1:]) for syllables in spelt],
        "nobody has this name": [f"{name[0]}qz" for name in names],
        "last four digits": [f"{dice.randrange(10_000):04d}" for _ in names],
        "transaction or adjustment number": [str(dice.randrange(1, 10**7)) for _ in names],
    }


def _search(query: str) -> float:
    began = time.perf_counter()
    queries.find(query, limit=8)
    taken = time.perf_counter() - began
    db.session.rollback()
    return taken * 1000


def _by_key(user_id: int) -> float:
    began = time.perf_counter()
    db.session.execute(sa.select(User.id, User.real_name).where(User.id == user_id)).first()
    taken = time.perf_counter() - began
    db.session.rollback()
    return taken * 1000


def _p95(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.95)]
