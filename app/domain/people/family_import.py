"""Taking families over from another system: everything in the file, or nothing (95, Z16).

Stands above the ledger, as registration does. A file may be run again at any time: what it says of people stands,
what is missing is added, and the opening balance is posted under a key made from the family's name, so once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.ledger import service as ledger
from app.domain.ledger.models import TransactionType, Wallet
from app.domain.people import levels, phones, rules
from app.domain.people.import_plan import Plan, make_plan, opening_key
from app.domain.people.import_rows import FamilyLines, ParentLine, StudentLine
from app.domain.people.models import Family, MemberStatus, Profile, ProfileStatus, User
from app.domain.people.roles import Permission, require
from app.domain.search.service import index_families
from app.money import ZERO, plain
from app.sheets import CellError

_CHUNK = 500


class ImportRefused(Exception):
    """The file contradicts what is there; `cells` says where. Nothing has changed."""

    def __init__(self, cells: list[CellError]):
        self.cells = cells
        super().__init__("; ".join(map(str, cells[:3])))


@dataclass(slots=True)
class Totals:
    """What the file holds and what of it is new; sums in yuan. What one compares with the old system."""

    families: int = 0
    new_families: int = 0
    parents: int = 0
    new_parents: int = 0
    students: int = 0
    new_students: int = 0
    new_levels: int = 0
    opening_total: Decimal = ZERO
    posted: int = 0
    posted_amount: Decimal = ZERO


def preview(families: list[FamilyLines]) -> Totals:
    """What an import would do. Changes nothing. Raises ImportRefused."""
    return _count(families, _plan(families))


@transactional
def import_families(*, families: list[FamilyLines], actor: Actor) -> Totals:
    """Put the file's families in, in one transaction. Raises ImportRefused, and then nothing has changed."""
    require(actor, Permission.FAMILY_EDIT)
    plan = _plan(families)
    totals = _count(families, plan)
    levels.make(plan.new_levels, plan.levels)
    _make_families(families, plan)
    changed = [lines for lines in families if _change_people(lines, plan)]
    _add_people(families, plan)
    new = [lines for lines in families if _is_new_to(lines, plan)]
    touched = {lines.name: lines for lines in changed + new}
    index_families([plan.families[name].id for name in touched])
    _record(touched.values(), plan, actor)
    _post_openings(families, plan, actor)
    return totals


def _plan(families: list[FamilyLines]) -> Plan:
    plan = make_plan(families)
    if plan.errors:
        raise ImportRefused(plan.errors)
    return plan


def _count(families: list[FamilyLines], plan: Plan) -> Totals:
    totals = Totals(families=len(families), new_levels=len(plan.new_levels))
    for lines in families:
        family = plan.families.get(lines.name)
        totals.new_families += family is None
        totals.parents += len(lines.parents)
        totals.new_parents += sum(openid not in plan.users for openid in lines.parents)
        totals.students += len(lines.students)
        totals.new_students += sum(plan.profile(family, name) is None for name in lines.students)
        totals.opening_total += lines.opening_balance
        if lines.opening_balance and lines.name not in plan.posted:
            totals.posted += 1
            totals.posted_amount += lines.opening_balance
    return totals


# ── families ─────────────────────────────────────────────────────────────────────────────────────────


def _make_families(families: list[FamilyLines], plan: Plan) -> None:
    require_transaction()
    for lines in families:
        family = plan.families.get(lines.name)
        if family is None:
            family = Family(name=lines.name, import_key=lines.name, created_at=clock.now())
            db.session.add(family)
            plan.families[lines.name] = family
            plan.adopted.add(lines.name)
        elif family.import_key is None:
            family.import_key = family.name = lines.name
    db.session.flush()
    with_wallet = set()
    for ids in _chunks(family.id for family in plan.families.values()):
        with_wallet.update(db.session.scalars(sa.select(Wallet.family_id).where(Wallet.family_id.in_(ids))))
    for family in plan.families.values():
        if family.id not in with_wallet:
            ledger.open_wallet(family.id)


# ── people ──────────────────────────────────────────────────────────────────────────────────────────


def _change_people(lines: FamilyLines, plan: Plan) -> bool:
    """What the file says of those who are there already; whether anything was different."""
    family, different = plan.families[lines.name], False
    for openid, parent in lines.parents.items():
        user = plan.users.get(openid)
        if user is not None:
            different |= _set(user, _parent_values(parent))
    for name, student in lines.students.items():
        profile = plan.profile(family, name)
        if profile is not None:
            different |= _set(profile, _student_values(student, plan))
    return different


def _set(row: User | Profile, values: dict[str, Any]) -> bool:
    different = {name: value for name, value in values.items() if value is not None and getattr(row, name) != value}
    for name, value in different.items():
        setattr(row, name, value)
    return bool(different)


def _add_people(families: list[FamilyLines], plan: Plan) -> None:
    db.session.flush()
    now = clock.now()
    users = (
        {"family_id": plan.families[lines.name].id, "openid": openid, "member_status": MemberStatus.TRIAL}
        | {"registered_at": now}
        | {name: value for name, value in _parent_values(parent).items() if name != "member_status" or value}
        for lines in families
        for openid, parent in lines.parents.items()
        if openid not in plan.users
    )
    profiles = (
        {"family_id": plan.families[lines.name].id, "name": name, "gender": rules.Gender.UNKNOWN}
        | {"status": ProfileStatus.ACTIVE, "created_at": now, "level_confirmed": False}
        | {key: value for key, value in _student_values(student, plan).items() if key != "level_confirmed" or value}
        for lines in families
        for name, student in lines.students.items()
        if plan.profile(plan.families[lines.name], name) is None
    )
    for table, rows in ((User.__table__, users), (Profile.__table__, profiles)):
        for chunk in _chunks(rows):
            db.session.execute(table.insert(), chunk)


def _parent_values(parent: ParentLine) -> dict[str, Any]:
    """Columns of a user; None where the file does not say."""
    return {
        "real_name": parent.name or None,
        "phone": parent.phone or None,
        "phone_index": phones.whole_index(parent.phone) if parent.phone else None,
        "phone_tail": phones.tail_index(parent.phone[-4:]) if parent.phone else None,
        "member_status": parent.member_status or None,
    }


def _student_values(student: StudentLine, plan: Plan) -> dict[str, Any]:
    """Columns of a profile; None where the file does not say. An import confirms the level (96.25)."""
    return {
        "birthday": student.birthday or None,
        "level_id": plan.levels[student.level.casefold()].id if student.level else None,
        "level_confirmed": True if student.level else None,
    }


def _is_new_to(lines: FamilyLines, plan: Plan) -> bool:
    """Whether the import made or named the family, or somebody in it."""
    family = plan.families[lines.name]
    return (
        lines.name in plan.adopted
        or any(openid not in plan.users for openid in lines.parents)
        or any(plan.profile(family, name) is None for name in lines.students)
    )


# ── what stays of it ────────────────────────────────────────────────────────────────────────────────


def _record(families: Iterable[FamilyLines], plan: Plan, actor: Actor) -> None:
    for lines in families:
        family_id = plan.families[lines.name].id
        audit.record(
            actor, "family.imported", target_type="family", target_id=family_id, family_id=family_id,
            after={
                "parents": len(lines.parents), "students": len(lines.students),
                "opening_balance": plain(lines.opening_balance),
            },
        )  # fmt: skip


def _post_openings(families: list[FamilyLines], plan: Plan, actor: Actor) -> None:
    due = {
        plan.families[lines.name].id: lines
        for lines in families
        if lines.opening_balance and lines.name not in plan.posted
    }
    wallets: dict[int, int] = {}
    for ids in _chunks(due):
        rows = sa.select(Wallet.id, Wallet.family_id).where(Wallet.family_id.in_(ids))
        wallets.update({row.id: row.family_id for row in db.session.execute(rows)})
    for wallet_id in sorted(wallets):  # wallets are locked by ascending id (R6)
        lines = due[wallets[wallet_id]]
        ledger.post(
            ledger.lock_wallet(wallet_id=wallet_id), type=TransactionType.RECHARGE, amount=lines.opening_balance,
            idempotency_key=opening_key(lines.name), reference_type="import", reference_id=wallets[wallet_id],
            reason="期初余额", actor=actor,
        )  # fmt: skip


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
