"""The search field (U2): whatever a person types, the families that it may mean, each with what they need to choose.

Names are looked up by range on the term index, numbers by their keys; nothing scans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

import sqlalchemy as sa

from app.db import db
from app.domain.desk.models import PaymentMethod, WalletAdjustment
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.orders import desk_queries as orders
from app.domain.people.models import Family, Profile, User
from app.domain.people.phones import tail_index, whole_index
from app.domain.search.models import SearchTerm
from app.domain.search.terms import TERM_LENGTH, mixed_prefixes, normalized
from app.vault import mask_phone, phone_digits

_term = SearchTerm.__table__
#: sorts after everything that begins with what stands before it
_LAST = "\U0010ffff"
#: one family has several terms that begin alike; so many rows are read for each hit that is wanted
_ROWS_PER_HIT = 6
_MAX_ID = 2**63 - 1


@dataclass(slots=True)
class Hit:
    """One family. `matched` is the name or number that was found, as people write it."""

    family_id: int
    matched: str
    family_name: str = ""
    balance: Decimal = Decimal("0.00")
    phone_masked: str | None = None
    #: the order that its number named, where one did
    order_id: str | None = None
    parents: list[str] = field(default_factory=list)
    students: list[str] = field(default_factory=list)


def find(query: str, *, limit: int = 10) -> list[Hit]:
    """Families by name, pinyin, initials, 张xm, phone or its last four digits, adjustment number, a transfer's own
    number, transaction number, an order's number, or WeChat's of its payment; exact and shorter matches first, at most
    `limit`."""
    plain = normalized(query)[:TERM_LENGTH]
    if not plain:
        return []
    matched: dict[int, str] = {}
    named = {row.family_id: row.order_id for row in orders.named(query)}
    matched.update((family_id, f"订单 {order_id[:8]}") for family_id, order_id in list(named.items())[:limit])
    for family_id, what in _matches(plain, query, limit):
        if len(matched) == limit:
            break
        matched.setdefault(family_id, what)
    hits = _described(matched)
    for hit in hits:
        hit.order_id = named.get(hit.family_id)
    return hits


def _matches(plain: str, typed: str, limit: int) -> Iterable[tuple[int, str]]:
    digits = phone_digits(typed)
    if digits.isascii() and digits.isdigit():
        yield from _by_phone(digits, limit)
    yield from _by_number(plain)
    yield from _by_name(plain, limit)


# ── names ───────────────────────────────────────────────────────────────────────────────────────────


def _by_name(plain: str, limit: int) -> Iterable[tuple[int, str]]:
    rows = limit * _ROWS_PER_HIT
    yield from _by_terms([plain], None, rows)
    mixed = mixed_prefixes(plain)
    if mixed:
        head, prefixes = mixed
        yield from _by_terms(prefixes, head, rows)


def _by_terms(prefixes: list[str], head: str | None, most: int) -> Iterable[tuple[int, str]]:
    """Names one of whose terms begins with one of the prefixes, and which themselves begin with `head`."""
    for prefix in prefixes:
        rows = (
            sa.select(_term.c.family_id, _term.c.name)
            .where(_term.c.term >= prefix, _term.c.term < prefix + _LAST)
            .order_by(_term.c.term, _term.c.family_id)
            .limit(most)
        )
        if head:
            rows = rows.where(sa.func.substr(_term.c.name, 1, len(head)) == head)
        yield from db.session.execute(rows)


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────


def _by_phone(digits: str, limit: int) -> Iterable[tuple[int, str]]:
    if len(digits) == 11:
        condition = User.phone_index == whole_index(digits)
    elif len(digits) == 4:
        condition = User.phone_tail == tail_index(digits)
    else:
        return
    rows = sa.select(User.family_id).where(condition).order_by(User.id).limit(limit)
    for family_id in db.session.scalars(rows):
        yield family_id, f"手机 {digits}" if len(digits) == 4 else f"手机 {mask_phone(digits)}"


def _by_number(plain: str) -> Iterable[tuple[int, str]]:
    external = sa.select(WalletAdjustment.family_id, WalletAdjustment.external_no).where(
        WalletAdjustment.payment_method.in_(list(PaymentMethod)), WalletAdjustment.external_no_live.in_(_cases(plain))
    )
    if plain.isascii() and any(map(str.isdigit, plain)):
        for family_id, number in db.session.execute(external.limit(5)):
            yield family_id, f"转账单号 {number}"
    number = plain.removeprefix("#").removeprefix("no.")
    if not (number.isascii() and number.isdigit() and int(number) <= _MAX_ID):
        return
    adjustment = sa.select(WalletAdjustment.family_id).where(WalletAdjustment.id == int(number))
    for family_id in db.session.scalars(adjustment):
        yield family_id, f"调整单 #{int(number)}"
    transaction = (
        sa.select(Wallet.family_id)
        .join(WalletTransaction, WalletTransaction.wallet_id == Wallet.id)
        .where(WalletTransaction.id == int(number))
    )
    for family_id in db.session.scalars(transaction):
        yield family_id, f"流水 #{int(number)}"


def _cases(plain: str) -> list[str]:
    # Numbers compare byte by byte; a person types either case.
    return list(dict.fromkeys((plain, plain.upper())))


# ── what a person needs to choose ───────────────────────────────────────────────────────────────────


def _described(matched: dict[int, str]) -> list[Hit]:
    """Two queries for all hits; families that were merged away are left out."""
    if not matched:
        return []
    families = (
        sa.select(Family.id, Family.name, Wallet.balance)
        .outerjoin(Wallet, Wallet.family_id == Family.id)
        .where(Family.id.in_(matched), Family.merged_into.is_(None))
    )
    hits = {
        row.id: Hit(row.id, matched[row.id], row.name, row.balance or Decimal("0.00"))
        for row in db.session.execute(families)
    }
    for row in db.session.execute(_people(hits)):
        hit = hits[row.family_id]
        if row.kind == "profile":
            hit.students.append(row.name)
            continue
        hit.parents.append(row.name or "未留姓名")
        hit.phone_masked = hit.phone_masked or mask_phone(row.phone)
    for hit in hits.values():
        hit.matched = _as_written(hit)
    return [hits[family_id] for family_id in matched if family_id in hits]


def _people(family_ids: Iterable[int]) -> sa.Select:
    ids = list(family_ids)
    users = sa.select(
        sa.literal("user").label("kind"), User.id.label("id"), User.family_id.label("family_id"),
        sa.func.coalesce(User.real_name, User.nickname).label("name"), User.phone.label("phone"),
    ).where(User.family_id.in_(ids))  # fmt: skip
    profiles = sa.select(
        sa.literal("profile"), Profile.id, Profile.family_id, Profile.name, sa.cast(sa.null(), User.phone.type)
    ).where(Profile.family_id.in_(ids))
    return sa.union_all(users, profiles).order_by("kind", "id")


def _as_written(hit: Hit) -> str:
    """Terms are lower-cased; show the name as it is kept."""
    for name in (*hit.students, *hit.parents, hit.family_name):
        if normalized(name) == hit.matched:
            return name
    return hit.matched
