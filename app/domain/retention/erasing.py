"""Deleting what identifies a family (S8): names, birthdays, phones, WeChat ids, their own words. Money stays, and so
does the audit log, under numbers that name nobody. What went is certified by a row that stays too."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import sqlalchemy as sa

from app import clock
from app.column_types import canonical_json
from app.db import db, execute, lock_rows, require_transaction
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings.models import Booking
from app.domain.desk.models import Receipt, ReceiptBand, WalletAdjustment, Withdrawal
from app.domain.ledger import control
from app.domain.ledger.models import WalletStatus
from app.domain.ledger.service import lock_wallets
from app.domain.orders.models import OfflinePayment, PaymentOrder, Refund
from app.domain.people.models import Family, MemberStatus, Profile, ProfileStatus, User
from app.domain.policy import service as policy
from app.domain.policy.models import ChangeRequest
from app.domain.retention import traces
from app.domain.retention.models import ErasureCertificate
from app.domain.retention.obstacles import obstacles
from app.domain.retention.scope import Scope, scope_of
from app.errors import Conflict

_users, _profiles, _families = User.__table__, Profile.__table__, Family.__table__
_receipts = Receipt.__table__


class NotErasable(Conflict):
    """`message` says all that is in the way."""

    code = "ERASURE_BLOCKED"


def lock(family_id: int) -> Scope:
    """Building block: everybody's rows, in the one order, so that nothing begins while it is decided."""
    require_transaction()
    lock_rows(Family, scope_of(family_id).families)
    scope = scope_of(family_id)
    lock_rows(Profile, scope.profiles)
    lock_rows(PaymentOrder, scope.orders)
    lock_rows(Booking, scope.bookings)
    return scope


def erase(
    scope: Scope, cause: str, actor: Actor, *, request: ChangeRequest | None = None, approved_by: int | None = None
) -> ErasureCertificate:
    """Building block over locked rows: delete, close the wallet, certify. Raises NotErasable."""
    require_transaction()
    if found := obstacles(scope):
        raise NotErasable("现在不能删除：" + "；".join(found))
    _close_wallets(scope, actor)
    done = {"families": len(scope.families), "users": len(scope.users), "profiles": len(scope.profiles)}
    if receipts := _old_receipts(scope):
        done["receipts"] = receipts
    done |= traces.erase(scope)
    now = clock.now()
    _forget_people(scope, now)
    facts = {"families": scope.families, "users": scope.users, "profiles": scope.profiles, "rows": done}
    certificate = ErasureCertificate(
        family_id=scope.family_id, cause=cause, request_id=request.id if request else None,
        asked_by=request.asked_by if request else None, approved_by=approved_by, facts=facts, erased_at=now,
    )  # fmt: skip
    certificate.hash = digest(certificate)
    db.session.add(certificate)
    db.session.flush()
    db.session.expire_all()
    audit.record(
        actor, "family.erased", target_type="family", target_id=scope.family_id, family_id=scope.family_id,
        after={"certificate": certificate.hash.hex(), "cause": cause, "rows": done},
    )  # fmt: skip
    return certificate


def digest(certificate: ErasureCertificate | sa.Row) -> bytes:
    """What its hash must be: over all that it says."""
    said = {
        "family_id": certificate.family_id, "cause": certificate.cause, "request_id": certificate.request_id,
        "asked_by": certificate.asked_by, "approved_by": certificate.approved_by, "facts": certificate.facts,
        "erased_at": certificate.erased_at.isoformat(),
    }  # fmt: skip
    return hashlib.sha256(canonical_json(said).encode()).digest()


def _close_wallets(scope: Scope, actor: Actor) -> None:
    for wallet in lock_wallets(scope.wallets).values():
        if wallet.status != WalletStatus.CLOSED:
            control.end(wallet, "删除个人信息", actor)


def _old_receipts(scope: Scope) -> int:
    """Receipts that the books need no more go, and their files with them: the job that finds files without a row does
    that. Younger ones stay, encrypted, since money was booked on them."""
    years = policy.get("retention_money")
    before = clock.now() - timedelta(days=years * 366)
    asked = sa.select(WalletAdjustment.id).where(WalletAdjustment.family_id.in_(scope.families))
    paid_out = sa.select(Withdrawal.id).where(Withdrawal.wallet_id.in_(scope.wallets))
    taken = sa.select(OfflinePayment.id).where(OfflinePayment.order_id.in_(scope.orders))
    given_back = sa.select(Refund.id).where(Refund.family_id.in_(scope.families))
    mine = sa.or_(
        _receipts.c.adjustment_id.in_(asked), _receipts.c.withdrawal_id.in_(paid_out),
        _receipts.c.offline_id.in_(taken), _receipts.c.refund_id.in_(given_back),
    )  # fmt: skip
    keys = list(db.session.scalars(sa.select(_receipts.c.id).where(mine, _receipts.c.created_at < before)))
    if keys:
        bands = ReceiptBand.__table__
        execute(bands.delete().where(bands.c.receipt_id.in_(keys)))
        execute(_receipts.update().where(_receipts.c.flagged_as.in_(keys)).values(flagged_as=None, flag=None))
        execute(_receipts.delete().where(_receipts.c.id.in_(keys)))
    return len(keys)


def _forget_people(scope: Scope, now) -> None:
    for user_id in scope.users:
        execute(_users.update().where(_users.c.id == user_id).values(
            openid=f"erased-{user_id}", unionid=None, nickname=None, real_name=None, phone=None, phone_index=None,
            phone_tail=None, member_status=MemberStatus.LEFT,
        ))  # fmt: skip
    for profile_id in scope.profiles:
        execute(_profiles.update().where(_profiles.c.id == profile_id).values(
            name=f"学员 {profile_id}", birthday=None, gender="unknown", notes=None, status=ProfileStatus.LEFT,
        ))  # fmt: skip
    for family_id in scope.families:
        values = {"name": f"已删除家庭 {family_id}", "import_key": None, "erased_at": now}
        execute(_families.update().where(_families.c.id == family_id).values(**values))
