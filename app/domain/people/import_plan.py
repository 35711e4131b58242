"""Holding an import file against what is there: who exists, who would have to move, what was posted already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app import money
from app.db import db
from app.domain.ledger.models import Wallet, WalletStatus, WalletTransaction
from app.domain.people import levels
from app.domain.people.import_rows import FamilyLines
from app.domain.people.models import Family, Level, Profile, User
from app.domain.people.phones import whole_index
from app.sheets import CellError

_CHUNK = 500


@dataclass(slots=True)
class Plan:
    """What an import meets. Filled by `make_plan`; `errors` in the order of the file."""

    #: the file's name of a family → the family that it is
    families: dict[str, Family] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    profiles: dict[tuple[int, str], Profile] = field(default_factory=dict)
    #: by name without case
    levels: dict[str, Level] = field(default_factory=dict)
    new_levels: list[str] = field(default_factory=list)
    #: the file's names of families whose opening balance was posted before
    posted: set[str] = field(default_factory=set)
    #: families that the file gives their name
    adopted: set[str] = field(default_factory=set)
    errors: list[CellError] = field(default_factory=list)

    def profile(self, family: Family | None, name: str) -> Profile | None:
        return None if family is None else self.profiles.get((family.id, name))


def make_plan(families: list[FamilyLines]) -> Plan:
    """Reads only; a few queries per 500 families."""
    plan = Plan()
    openids = [openid for lines in families for openid in lines.parents]
    plan.users = {user.openid: user for user in _all(User, User.openid, openids)}
    _find_families(families, plan)
    _check_phones(families, plan)
    found = {family.id for family in plan.families.values()}
    for profile in _all(Profile, Profile.family_id, found):
        plan.profiles.setdefault((profile.family_id, profile.name), profile)
    _find_levels(families, plan)
    _check_openings(families, plan)
    plan.errors.sort(key=lambda error: error.line)
    return plan


def _find_families(families: list[FamilyLines], plan: Plan) -> None:
    by_key = {family.import_key: family for family in _all(Family, Family.import_key, [f.name for f in families])}
    theirs = {family.id: family for family in _all(Family, Family.id, {u.family_id for u in plan.users.values()})}
    for lines in families:
        family = _present(by_key.get(lines.name))
        for openid, parent in lines.parents.items():
            user = plan.users.get(openid)
            if user is None:
                continue
            own = theirs[user.family_id]
            if family is None and own.import_key is None:
                # A parent who signed in before the import: their family is the one that the file means.
                family = own
                plan.adopted.add(lines.name)
            elif family is None or own.id != family.id:
                plan.errors.append(
                    CellError(parent.line, "openid", f"这位家长已属于「{own.name}」（家庭 {own.id}），请先核对")
                )
        if family is not None:
            plan.families[lines.name] = family
    _refuse_shared(families, plan)


def _refuse_shared(families: list[FamilyLines], plan: Plan) -> None:
    """Two names of the file may not mean one family: their balances would be added up unseen."""
    seen: dict[int, str] = {}
    for lines in families:
        family = plan.families.get(lines.name)
        if family is not None and seen.setdefault(family.id, lines.name) != lines.name:
            plan.errors.append(
                CellError(lines.line, "family", f"与「{seen[family.id]}」是系统中的同一个家庭（家庭 {family.id}）")
            )


def _present(family: Family | None) -> Family | None:
    """The family itself, or the one that it was merged into."""
    while family is not None and family.merged_into is not None:
        family = db.session.get(Family, family.merged_into)
    return family


def _check_phones(families: list[FamilyLines], plan: Plan) -> None:
    asked = {whole_index(p.phone): p for lines in families for p in lines.parents.values() if p.phone}
    for user in _all(User, User.phone_index, asked):
        parent = asked[user.phone_index]
        if user.openid != parent.openid:
            plan.errors.append(CellError(parent.line, "phone", "这个手机号在系统中属于另一位家长"))


def _find_levels(families: list[FamilyLines], plan: Plan) -> None:
    plan.levels = levels.known()
    asked = (student.level for lines in families for student in lines.students.values() if student.level)
    plan.new_levels = levels.missing(asked, plan.levels)


def _check_openings(families: list[FamilyLines], plan: Plan) -> None:
    posted = _posted([opening_key(lines.name) for lines in families])
    closed = _closed({family.id for family in plan.families.values()})
    for lines in families:
        before = posted.get(opening_key(lines.name))
        family = plan.families.get(lines.name)
        if before is not None:
            plan.posted.add(lines.name)
        if not lines.opening_balance:
            continue
        if before is not None and before != lines.opening_balance:
            sentence = f"期初余额已导入为 {money.yuan(before)}，不能再改；差额请用余额调整登记"
            plan.errors.append(CellError(lines.balance_line, "opening_balance", sentence))
        elif before is None and family is not None and family.id in closed:
            plan.errors.append(CellError(lines.balance_line, "opening_balance", "这个家庭的钱包已关闭，不能入账"))


def opening_key(family_name: str) -> str:
    """The idempotency key of a family's opening balance: one per name in the file, for ever."""
    return "import:opening:" + hashlib.sha256(family_name.encode()).hexdigest()


def _posted(keys: list[str]) -> dict[str, Decimal]:
    columns = (WalletTransaction.idempotency_key, WalletTransaction.amount)
    return {
        row.idempotency_key: row.amount
        for chosen in _chunks(keys)
        for row in db.session.execute(sa.select(*columns).where(WalletTransaction.idempotency_key.in_(chosen)))
    }


def _closed(family_ids: set[int]) -> set[int]:
    query = sa.select(Wallet.family_id).where(Wallet.status == WalletStatus.CLOSED)
    return {
        family_id
        for chosen in _chunks(family_ids)
        for family_id in db.session.scalars(query.where(Wallet.family_id.in_(chosen)))
    }


def _all(model: type, column: Any, values: Iterable[Any]) -> Iterator[Any]:
    for chosen in _chunks(values):
        yield from db.session.scalars(sa.select(model).where(column.in_(chosen)).order_by(model.id))


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    listed = sorted(set(values))
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]
