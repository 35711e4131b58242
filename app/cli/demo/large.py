"""Filling a database up to a million families and transactions: rows by the thousand, true hash chains.

Encrypted phones, blind indexes and search terms are made as in life, since they are what the size is about; audit
rows and notices of each movement are not (ledger/bulk.py says so in the log).
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import sqlalchemy as sa

from app import clock, vault
from app.cli.demo.names import GIVEN, LEVELS, SURNAMES, birthday
from app.cli.demo.people import ACTOR, make_levels
from app.db import db, require_transaction, transaction
from app.domain.ledger import bulk
from app.domain.ledger.bulk import Movement
from app.domain.ledger.hashing import moment_text
from app.domain.ledger.models import TransactionType, Wallet, WalletTransaction
from app.domain.people.models import Family, Profile, User
from app.domain.people.phones import tail_index, whole_index
from app.domain.search.models import SearchTerm
from app.domain.search.service import term_rows

#: families per transaction
CHUNK = 2000
#: rows per statement: well below the megabyte that SQLite takes
ROWS = 5000
#: families from which on the index of names is built after them
BUILD_INDEX_FROM = 50_000
#: movements per family when only their total is asked for
DEPTH = 20
ROUND = 50_000

_PLAIN = re.compile(r"[\w .:-]*")
_PARTS = sorted({char for name in GIVEN for char in name})
_SQL = {
    "families": ("id", "name", "created_at"),
    "users": ("id", "family_id", "openid", "real_name", "phone", "phone_index", "phone_tail", "member_status",
              "registered_at", "enrolled_at"),
    "profiles": ("id", "family_id", "name", "birthday", "gender", "level_id", "level_confirmed", "status",
                 "created_at"),
    "wallets": ("family_id", "balance", "status", "version", "created_at", "updated_at"),
    "search_terms": ("term", "name", "owner_type", "owner_id", "family_id"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filled:
    """What the database holds now, and how long filling took."""

    families: int
    transactions: int
    seconds: float


def fill(*, families: int | None, transactions: int | None, say: Callable[[str], object]) -> Filled:
    """Add families and movements until there are as many as asked for; what is there counts."""
    began = time.monotonic()
    if families is None:
        families = (transactions or 0) // DEPTH
    missing = families - _count(Family)
    if missing > 0:
        _add_families(missing, say)
    short = (transactions or 0) - _count(WalletTransaction)
    if short > 0:
        written = bulk.build(_told(_rounds(short), short, say), actor=ACTOR)
        say(f"  流水 +{written}")
    return Filled(_count(Family), _count(WalletTransaction), time.monotonic() - began)


def _count(model: type) -> int:
    found = db.session.scalar(sa.select(sa.func.count()).select_from(model))
    db.session.rollback()
    return found


def _highest(model: type) -> int:
    found = db.session.scalar(sa.select(sa.func.max(model.id))) or 0
    db.session.rollback()
    return found


# ── families ────────────────────────────────────────────────────────────────────────────────────────


def _add_families(missing: int, say: Callable[[str], object]) -> None:
    levels = list(make_levels().values())[: len(LEVELS)]
    began = clock.now()
    number = _next_number()
    with _term_index_built_last(missing, say):
        for start in range(0, missing, CHUNK):
            size = min(CHUNK, missing - start)
            first = {model: _highest(model) + 1 for model in (Family, User, Profile)}
            with transaction():
                _insert_chunk(first, number + start, size, levels, began)
            if start and start % (CHUNK * 25) == 0:
                say(f"  家庭 {start} / {missing}")


@contextmanager
def _term_index_built_last(missing: int, say: Callable[[str], object]) -> Iterator[None]:
    """Names come in no order, so each term goes to another page of an index that outgrows the memory: for very many
    families it is dropped, and built by one sort at the end. Where a run was killed, the next large one builds it."""
    if missing < BUILD_INDEX_FROM:
        yield
        return
    # An engine of its own: the application's connections give up on a statement that takes minutes.
    engine = sa.create_engine(db.engine.url, poolclass=sa.NullPool)
    index = next(index for index in SearchTerm.__table__.indexes if index.name == "ix_search_terms_term")
    with engine.begin() as connection:
        index.drop(connection, checkfirst=True)
    try:
        yield
    finally:
        say("  搜索索引")
        with engine.begin() as connection:
            index.create(connection)


def _next_number() -> int:
    """Families are never deleted, so their count is the next one's number."""
    query = sa.select(sa.func.count()).select_from(User).where(User.openid.like("demo-many-%"))
    found = db.session.scalar(query)
    db.session.rollback()
    return found + 1


def _insert_chunk(first: dict[type, int], number: int, size: int, levels: list[int], began: datetime) -> None:
    rows: dict[str, list[str]] = {table: [] for table in _SQL}
    for offset in range(size):
        ids = (first[Family] + offset, first[User] + offset, first[Profile] + offset)
        _family_rows(rows, ids, number + offset, levels, began)
    connection = require_transaction().connection
    for table, columns in _SQL.items():
        for start in range(0, len(rows[table]), ROWS):
            values = ",".join(rows[table][start : start + ROWS])
            connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}")  # noqa: S608


def _row(*values: int | str | bytes) -> str:
    """A row as SQL. Everything in it was made here; binding fifteen million rows' values would take half an hour."""
    return f"({','.join(map(_literal, values))})"


def _literal(value: int | str | bytes) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if not _PLAIN.fullmatch(value):
        raise ValueError(f"not a demo's text: {value!r}")
    return f"'{value}'"


def _family_rows(
    rows: dict[str, list[str]], ids: tuple[int, int, int], number: int, levels: list[int], began: datetime
) -> None:
    family_id, user_id, profile_id = ids
    dice = random.Random(number)  # noqa: S311 - names of a demo
    surname = SURNAMES[number % len(SURNAMES)]
    parent = surname + ("女士", "先生")[dice.getrandbits(1)]
    student = surname + dice.choice(_PARTS) + dice.choice(_PARTS)
    phone = f"1{5 + number % 5}{number:09d}"
    moment = moment_text(began - timedelta(days=dice.randint(30, 1500)))
    rows["families"].append(_row(family_id, f"{parent}家庭", moment))
    rows["users"].append(
        _row(user_id, family_id, f"demo-many-{number}", parent, vault.seal(phone.encode(), "phone"),
             whole_index(phone), _tail(phone[-4:]), "formal", moment, moment)
    )  # fmt: skip
    rows["profiles"].append(
        _row(profile_id, family_id, student, vault.seal(birthday(number, 0).encode(), "birthday"),
             ("female", "male")[number % 2], levels[number % len(levels)], 1, "active", moment)
    )  # fmt: skip
    rows["wallets"].append(_row(family_id, 0, "active", 0, moment, moment))
    owners = (("family", family_id, f"{parent}家庭"), ("user", user_id, parent), ("profile", profile_id, student))
    for owner_type, owner_id, name in owners:
        rows["search_terms"] += [f"({term},'{owner_type}',{owner_id},{family_id})" for term in _terms(name)]


_tail = lru_cache(maxsize=10_000)(tail_index)


@lru_cache(maxsize=200_000)
def _terms(name: str) -> tuple[str, ...]:
    """Term and name of each row, as SQL."""
    return tuple(f"{_literal(row['term'])},{_literal(row['name'])}" for row in term_rows("", 0, 0, name))


# ── movements ───────────────────────────────────────────────────────────────────────────────────────


def _rounds(short: int) -> Iterator[list[Movement]]:
    """Rounds over all open wallets until `short` movements are made: a recharge, then nine classes, and again."""
    query = sa.select(Wallet.id, Wallet.family_id, Wallet.version, Wallet.updated_at).where(Wallet.status == "active")
    wallets = [tuple(row) for row in db.session.execute(query.order_by(Wallet.id))]
    db.session.rollback()
    depth = -(-short // max(len(wallets), 1))
    end = clock.now()
    for turn in range(depth):
        for start in range(0, len(wallets), ROUND):
            chosen = wallets[start : start + min(ROUND, short)]
            if not chosen:
                return
            short -= len(chosen)
            yield [_movement(*wallet, turn, _moment(wallet[3], turn, depth, end)) for wallet in chosen]


def _moment(last: datetime, turn: int, depth: int, end: datetime) -> datetime:
    """Spread evenly between the wallet's last movement and now."""
    return last + (end - last) * (turn + 1) / (depth + 1)


def _movement(
    wallet_id: int, family_id: int, version: int, _updated_at: datetime, turn: int, moment: datetime
) -> Movement:
    seq = version + turn + 1
    recharge = turn % 10 == 0
    return Movement(
        wallet_id=wallet_id,
        type=TransactionType.RECHARGE if recharge else TransactionType.DEDUCTION,
        amount=Decimal("2000.00") if recharge else Decimal("-200.00"),
        idempotency_key=f"many:{wallet_id}:{seq}",
        reference_type="import",
        reference_id=str(family_id),
        reason="充值" if recharge else "正式课 · 体操课",
        created_at=moment,
    )


def _told(rounds: Iterator[list[Movement]], total: int, say: Callable[[str], object]) -> Iterator[list[Movement]]:
    """The same rounds, with a line every few hundred thousand rows."""
    done = 0
    for number, movements in enumerate(rounds, start=1):
        yield movements
        done += len(movements)
        if number % 5 == 0:
            say(f"  流水 {done} / {total}")
