"""Receipts of all money that people move by hand: kept with their hashes, and compared with every one before (W14).

The files themselves were decoded and stored before (app/flows/receipts.py); here are only their facts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, db_now, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.desk import completion, lookalike, persons, rules
from app.domain.desk.completion import Outcome
from app.domain.desk.models import AdjustmentStatus, PaymentMethod, Receipt, ReceiptBand, WalletAdjustment
from app.domain.ledger import service as ledger
from app.domain.people import proof, roles
from app.domain.people.models import Staff
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Invalid, InvalidState

_receipts = Receipt.__table__
_bands = ReceiptBand.__table__

#: flags of a receipt that was there before (Likeness)
_USED = frozenset({"same", "same_pixels"})
#: what a band lookup looks at before it gives up: one app's screenshots share bands by the thousand
CANDIDATES = 5000


@dataclass(frozen=True, slots=True)
class NewReceipt:
    """A file that lies in the store already. Hashes are hex, those of looks None for a PDF."""

    storage_key: str
    media_type: str
    bytes: int
    sha256: str
    stored_sha256: str
    pixel_hash: str | None = None
    lookalike_hash: str | None = None
    detail_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """What receipts belong to: `adjustment`, `withdrawal`, `offline` or `refund`, its id, and whose family's it is.
    `target` is what the audit log calls it, where that is not the same."""

    kind: str
    id: int
    family_id: int
    target: tuple[str, str] | None = None

    @property
    def column(self) -> str:
        return f"{self.kind}_id"


@dataclass(frozen=True, slots=True)
class Likeness:
    """That a receipt is or looks like an earlier one: `same`, `same_pixels`, `looks_alike`."""

    flag: str
    receipt_id: int


def likeness(new: NewReceipt, *, before_id: int | None = None, lock: bool = False) -> Likeness | None:
    """The earliest earlier receipt that this one equals, else the nearest that it looks like; None if it is new."""
    older = _receipts.c.id < before_id if before_id is not None else sa.true()
    for flag, column in (("same", "sha256"), ("same_pixels", "pixel_hash")):
        value = getattr(new, column)
        if value is None:
            continue
        query = sa.select(_receipts.c.id).where(_receipts.c[column] == value)
        if lock:
            # Two people who upload one file at the same moment would each see no other: a locking read makes the
            # second wait for the first's row, which it inserted before it looked.
            query = query.with_for_update()
        found = [row_id for row_id in db.session.scalars(query) if before_id is None or row_id < before_id]
        if found:
            return Likeness(flag, min(found))
    if new.lookalike_hash is None:
        return None
    candidates = db.session.execute(
        sa.select(_receipts.c.id, _receipts.c.lookalike_hash, _receipts.c.detail_hash)
        .where(
            _receipts.c.id.in_(
                sa.select(_bands.c.receipt_id).where(_bands.c.band.in_(lookalike.bands(new.lookalike_hash)))
            ),
            older,
        )
        .order_by(_receipts.c.id.desc())
        .limit(CANDIDATES)
    )
    for row in candidates:
        if lookalike.looks_alike(new.lookalike_hash, new.detail_hash or "", row.lookalike_hash, row.detail_hash):
            return Likeness("looks_alike", row.id)
    return None


def attach(owner: Owner, new: Sequence[NewReceipt], actor: Actor) -> set[str]:
    """Add files to what they belong to and return the flags of all that it now has. Raises Invalid for a sixth."""
    require_transaction()
    have = db.session.execute(
        sa.select(_receipts.c.sha256, _receipts.c.flag).where(_receipts.c[owner.column] == owner.id)
    ).all()
    seen = {row.sha256 for row in have}
    fresh = [receipt for receipt in new if not (receipt.sha256 in seen or seen.add(receipt.sha256))]
    if len(have) + len(fresh) > rules.MAX_RECEIPTS:
        raise Invalid.field("receipts", f"每笔最多 {rules.MAX_RECEIPTS} 个凭证")
    if new and not fresh:
        raise Invalid.field("receipts", "这个文件已经在这一笔的凭证里了")
    flags = {row.flag for row in have}
    for receipt in fresh:
        flags.add(_insert(owner, receipt, actor))
    return {flag for flag in flags if flag}


def check_given(method: str, count: int, missing: str) -> None:
    """Every way of paying but cash leaves a receipt (W13). Raises Invalid with `missing`."""
    if method != PaymentMethod.CASH and not count:
        raise Invalid.field("receipts", missing)


def check_unused(flags: Collection[str]) -> None:
    """One receipt proves one payment. Raises Invalid."""
    if _USED & set(flags):
        raise Invalid.field("receipts", "这个凭证以前用过，请上传这次的回单")


def of_adjustment(adjustment: WalletAdjustment) -> Owner:
    return Owner("adjustment", adjustment.id, adjustment.family_id)


def _insert(owner: Owner, new: NewReceipt, actor: Actor) -> str | None:
    values = {name: getattr(new, name) for name in NewReceipt.__dataclass_fields__}
    receipt_id = db.session.execute(
        _receipts.insert().values(
            **values, **{owner.column: owner.id}, uploaded_by=actor.id, created_at=clock.now()
        )
    ).inserted_primary_key[0]  # fmt: skip
    like = likeness(new, before_id=receipt_id, lock=True)
    if like is not None:
        db.session.execute(
            _receipts.update().where(_receipts.c.id == receipt_id).values(flag=like.flag, flagged_as=like.receipt_id)
        )
    if new.lookalike_hash is not None:
        db.session.execute(
            _bands.insert(),
            [{"band": band, "receipt_id": receipt_id} for band in lookalike.bands(new.lookalike_hash)],
        )
    target_type, target_id = owner.target or (owner.kind, owner.id)
    audit.record(
        actor, f"{target_type}.receipt_added", target_type=target_type, target_id=target_id, family_id=owner.family_id,
        after={"receipt": receipt_id, "sha256": new.sha256, "media_type": new.media_type, "bytes": new.bytes,
               "flag": like.flag if like else None, "flagged_as": like.receipt_id if like else None},
    )  # fmt: skip
    return like.flag if like else None


@transactional
def add(
    *,
    adjustment_id: int,
    receipts: Sequence[NewReceipt],
    actor: Actor,
    version: int | None = None,
    request_key: RequestKey | None = None,
) -> Outcome:
    """Add receipts to a pending adjustment. The one that was only waiting for them completes (W13), unless the sums
    or the receipts now ask for approval; one that waits for approval waits from now on (W12).

    Raises AdjustmentNotFound, InvalidState, Stale, OwnFamily, Invalid, StepUpRequired, and what the ledger refuses.
    """
    roles.require(actor, Permission.ADJUSTMENT_ASK)
    proof.require_recent(actor)
    if not receipts:
        raise Invalid.field("receipts", "请选择至少一个凭证文件")
    people = persons.hold(actor, author := completion.author_of(adjustment_id))
    adjustment = completion.lock(adjustment_id, version=version)
    if adjustment.status != AdjustmentStatus.PENDING:
        raise InvalidState("这笔调整已经结束，不能再补凭证")
    persons.refuse_own_family(people[actor.id], adjustment.family_id)
    wallet = ledger.lock_wallet(wallet_id=adjustment.wallet_id)
    flags = attach(of_adjustment(adjustment), receipts, actor)
    now = db_now()
    reasons = _reasons_now(adjustment, people[author], flags, now)
    if not reasons:
        return completion.complete(adjustment, wallet, actor, now)
    adjustment.needs_approval, adjustment.approval_reasons = True, ",".join(reasons)
    adjustment.lapses_at = adjustment.lapses_at or now + policy.get("adjustment_approval_ttl")
    adjustment.version += 1
    return completion.outcome(adjustment)


def _reasons_now(adjustment: WalletAdjustment, author: Staff, flags: set[str], now: datetime) -> list[str]:
    """Why it needs approval now that receipts came; what was true when it was asked stays true."""
    if adjustment.needs_approval:
        known = adjustment.approval_reasons.split(",")
        return known + [reason for reason in rules.receipt_reasons(flags) if reason not in known]
    return list(
        rules.approval_reasons(
            amount=adjustment.amount,
            type=adjustment.type,
            may_direct=persons.may_direct(author),
            sums=persons.direct_sums(author.id, adjustment.family_id, now),
            limits=persons.limits(),
            receipt_flags=flags,
        )
    )
