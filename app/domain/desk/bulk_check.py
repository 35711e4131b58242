"""A sheet of adjustments held against what is there: whose rows they are, what was done before, what would be refused.

Reads only, a few queries per 500 rows, whatever the sheet's length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app.db import db, db_now
from app.domain.desk.bulk_models import AdjustmentBatch, AdjustmentBatchRow, BatchStatus
from app.domain.desk.bulk_sheet import FAMILY, FAMILY_ID, NUMBER, PHONE, SheetLine
from app.domain.desk.models import AdjustmentStatus, WalletAdjustment
from app.domain.desk.rules import Wish
from app.domain.ledger import rules as wallet_rules
from app.domain.ledger.models import Wallet
from app.domain.people.models import Family, Staff, User
from app.domain.people.phones import whole_index
from app.domain.policy import service as policy
from app.errors import DomainError
from app.sheets import CellError

_CHUNK = 500
#: an adjustment of the same family, amount and type in these days is worth a second look
LOOK_BACK = timedelta(days=7)
_adj = WalletAdjustment.__table__


@dataclass(frozen=True, slots=True)
class BulkLine:
    """One row whose family is known."""

    line: int
    family_id: int
    wish: Wish


@dataclass(slots=True)
class Findings:
    """`errors` must be mended before anybody is asked; `warnings` are for the eye, by line."""

    errors: list[CellError] = field(default_factory=list)
    warnings: dict[int, list[str]] = field(default_factory=dict)
    #: lines that the wallet's rules would refuse as things are now
    refused: set[int] = field(default_factory=set)

    def warn(self, line: int, sentence: str) -> None:
        self.warnings.setdefault(line, []).append(sentence)


# ── whose rows ──────────────────────────────────────────────────────────────────────────────────────


def identify(lines: Sequence[SheetLine]) -> tuple[list[BulkLine], list[CellError]]:
    """The rows with their families; all that a row says of its family must mean the same one."""
    ids = {f.id: f for f in _all(Family, Family.id, (one.family_id for one in lines if one.family_id))}
    phones = {
        user.phone_index: user.family_id
        for user in _all(User, User.phone_index, {whole_index(one.phone) for one in lines if one.phone})
    }
    names: dict[str, list[int]] = {}
    for family in _all(Family, Family.name, {one.family_name for one in lines if one.family_name}):
        if family.merged_into is None:
            names.setdefault(family.name, []).append(family.id)
    found, errors = [], []
    for one in lines:
        wrong: dict[str, str] = {}
        family_id = _family(one, ids, phones, names, wrong)
        errors += [CellError(one.line, column, sentence) for column, sentence in wrong.items()]
        if family_id is not None and not wrong:
            found.append(BulkLine(one.line, family_id, one.wish))
    return found, errors


def _family(
    one: SheetLine, ids: dict[int, Family], phones: dict[str, int], names: dict[str, list[int]], wrong: dict[str, str]
) -> int | None:
    meant: int | None = None
    if one.family_id is not None:
        family = ids.get(one.family_id)
        if family is None:
            wrong[FAMILY_ID] = "没有这个编号的家庭"
        elif family.merged_into is not None:
            wrong[FAMILY_ID] = f"这个家庭已并入家庭 {family.merged_into}，请改填"
        else:
            meant = family.id
    if one.phone:
        by_phone = phones.get(whole_index(one.phone))
        if by_phone is None:
            wrong[PHONE] = "没有家长用这个手机号"
        elif meant is not None and meant != by_phone:
            wrong[PHONE] = f"这个手机号属于另一个家庭（家庭 {by_phone}）"
        elif not wrong:
            meant = by_phone
    if one.family_name:
        by_name = names.get(one.family_name, [])
        if meant is not None and meant not in by_name:
            wrong[FAMILY] = "家庭名称与编号或手机号对不上，请核对"
        elif meant is None and not wrong and len(by_name) > 1:
            wrong[FAMILY] = f"有 {len(by_name)} 个家庭同名，请填写家庭编号或手机号"
        elif meant is None and not wrong and not by_name:
            wrong[FAMILY] = "没有这个名称的家庭"
        elif meant is None and not wrong:
            meant = by_name[0]
    return meant


def own_families(*people: Staff) -> set[int]:
    """The families to which these people belong: linked to the account, or by openid or phone of a parent (W12)."""
    own = {person.family_id for person in people if person.family_id is not None}
    openids = [person.openid for person in people if person.openid]
    phones = [person.phone_index for person in people if person.phone_index]
    same = sa.or_(User.openid.in_(openids), User.phone_index.in_(phones))
    return own | set(db.session.scalars(sa.select(User.family_id).where(same)))


# ── what is there ───────────────────────────────────────────────────────────────────────────────────


def check(lines: Sequence[BulkLine], author: Staff, *, batch_id: int | None = None) -> Findings:
    """What speaks against the rows now. `batch_id` is the batch that they are, so that it is not held against them."""
    found = Findings()
    own = own_families(author)
    for one in lines:
        if one.family_id in own:
            found.errors.append(CellError(one.line, FAMILY_ID, "这是您自己的家庭，不能由您调整，请交给同事办理"))
    _check_numbers(lines, found, batch_id)
    _look_for_alike(lines, found)
    _try_wallets(lines, found)
    found.errors.sort(key=lambda error: error.line)
    return found


def _check_numbers(lines: Sequence[BulkLine], found: Findings, batch_id: int | None) -> None:
    """A transfer's own number is good once per method (W14): in adjustments, and in the sheets that wait."""
    asked = {(one.wish.payment_method, one.wish.external_no): one for one in lines if one.wish.external_no}
    rows = AdjustmentBatchRow.__table__
    for numbers in _chunks({number for _, number in asked}):
        used = sa.select(_adj.c.payment_method, _adj.c.external_no_live, _adj.c.id).where(
            _adj.c.payment_method.in_({method for method, _ in asked}), _adj.c.external_no_live.in_(numbers)
        )
        for method, number, adjustment_id in db.session.execute(used):
            if one := asked.get((method, number)):
                sentence = f"这个转账单号已用于调整 #{adjustment_id}，请核对是否重复入账"
                found.errors.append(CellError(one.line, NUMBER, sentence))
        waiting = (
            sa.select(rows.c.payment_method, rows.c.external_no, rows.c.batch_id)
            .join(AdjustmentBatch, AdjustmentBatch.id == rows.c.batch_id)
            .where(rows.c.external_no.in_(numbers), AdjustmentBatch.status == BatchStatus.ASKED)
        )
        for method, number, other in db.session.execute(waiting):
            if other != batch_id and (one := asked.get((method, number))):
                sentence = f"这个转账单号已在待审批的批次 #{other} 里"
                found.errors.append(CellError(one.line, NUMBER, sentence))


def _look_for_alike(lines: Sequence[BulkLine], found: Findings) -> None:
    """Rows that look like one another, or like what was done lately: said, not refused."""
    seen: dict[tuple, int] = {}
    for one in lines:
        first = seen.setdefault((one.family_id, one.wish.amount, one.wish.type), one.line)
        if first != one.line:
            found.warn(one.line, f"与第 {first} 行是同一家庭、同样金额和类型")
    since = db_now() - LOOK_BACK
    before: dict[tuple, int] = {}
    for ids in _chunks({one.family_id for one in lines}):
        lately = sa.select(_adj.c.family_id, _adj.c.amount, _adj.c.type, _adj.c.id).where(
            _adj.c.family_id.in_(ids), _adj.c.created_at > since, _adj.c.status != AdjustmentStatus.CANCELLED
        )
        before.update({(row.family_id, row.amount, row.type): row.id for row in db.session.execute(lately)})
    for one in lines:
        if adjustment_id := before.get((one.family_id, one.wish.amount, one.wish.type)):
            found.warn(one.line, f"7 天内已有同样金额和类型的调整 #{adjustment_id}")


def _try_wallets(lines: Sequence[BulkLine], found: Findings) -> None:
    """What each wallet would say to its rows, one after another (W6, W7, W30)."""
    policy_limit = policy.get("overdraft_limit")
    wallets = {w.family_id: w for w in _all(Wallet, Wallet.family_id, {one.family_id for one in lines})}
    balances: dict[int, Decimal] = {family_id: wallet.balance for family_id, wallet in wallets.items()}
    for one in lines:
        wallet = wallets[one.family_id]
        limit = policy_limit if wallet.overdraft_limit is None else wallet.overdraft_limit
        balance, amount = balances[one.family_id], one.wish.amount
        try:
            wallet_rules.check_status(wallet.status, amount)
            wallet_rules.check_range(balance, amount)
            wallet_rules.check_limit(balance, amount, limit)
        except DomainError as refusal:
            found.refused.add(one.line)
            found.warn(one.line, f"按目前的余额会被拒绝：{refusal.message}")
        else:
            balances[one.family_id] = balance + amount


def _all(model: type, column: Any, values: Iterable[Any]) -> Iterator[Any]:
    for chosen in _chunks(values):
        yield from db.session.scalars(sa.select(model).where(column.in_(chosen)).order_by(model.id))


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    listed = sorted(set(values))
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]
