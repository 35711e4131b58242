"""What a manager does to a wallet without moving money (W30, W23): freeze, close, own limit, booking bypass.

Each takes a reason and a fresh proof of identity, leaves an audit row and tells the money group.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app import clock, ids, money
from app.db import RequestKey, db, db_now, require_transaction, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.ledger.errors import WalletClosed
from app.domain.ledger.models import Wallet, WalletStatus
from app.domain.ledger.service import LockedWallet, forget_loaded, lock_wallet
from app.domain.outbox import service as outbox
from app.domain.people import belonging, roles
from app.domain.people.models import Family
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Conflict, Forbidden, Invalid, InvalidState
from app.money import MAX_AMOUNT, ZERO
from app.text import clean

REASON_LENGTH = 200
MAX_BYPASS = timedelta(days=366)

_wallets = Wallet.__table__
# Desk, bookings and credits come after the ledger in the order of imports, or beside it, so their tables are named,
# as in a foreign key. A booking is the wallet's by its family, and by its debit: after a student moved to another
# family its refund still comes here, and a closed wallet would take none (P11). Credits stand last: a leave that is
# taken meanwhile turns a booking into one, and must be seen as the one or the other.
_OPEN_THINGS = (
    ("SELECT 1 FROM wallet_adjustments WHERE wallet_id = :wallet AND status = 'pending'", "还有待处理的余额调整"),
    (
        "SELECT 1 FROM withdrawals WHERE wallet_id = :wallet AND status IN ('requested', 'approved')",
        "还有未办结的提现",
    ),
    (
        """SELECT 1 FROM late_refunds r JOIN bookings b ON b.id = r.booking_id
           LEFT JOIN wallet_transactions t ON t.id = b.debit_id
           WHERE r.status = 'pending' AND (b.family_id = :family OR t.wallet_id = :wallet)""",
        "还有待复核的逾时退款",
    ),
    (
        """SELECT 1 FROM refunds r LEFT JOIN bookings b ON b.id = r.booking_id
           LEFT JOIN wallet_transactions t ON t.id = b.debit_id
           WHERE r.refund_to = 'wallet' AND r.status = 'requested'
             AND (r.family_id = :family OR t.wallet_id = :wallet)""",
        "还有待审批的退款",
    ),
    (
        """SELECT 1 FROM bookings b JOIN course_schedules s ON s.id = b.course_schedule_id
           WHERE b.family_id = :family AND b.status = 'booked' AND s.ends_at > :now""",
        "还有未上的预约",
    ),
    (
        """SELECT 1 FROM wallet_transactions t JOIN bookings b ON b.debit_id = t.id
           JOIN course_schedules s ON s.id = b.course_schedule_id
           WHERE t.wallet_id = :wallet AND b.status = 'booked' AND s.ends_at > :now""",
        "还有从这个钱包扣费、尚未上的预约",
    ),
    (
        "SELECT 1 FROM waitlist_entries WHERE family_id = :family AND status IN ('waiting', 'offered')",
        "还有未结束的候补",
    ),
    (
        "SELECT 1 FROM makeup_credits WHERE family_id = :family AND status = 'available' AND valid_until > :now",
        "还有未用的待补课",
    ),
)


class WalletNotEmpty(Conflict):
    code = "WALLET_NOT_EMPTY"
    message = "余额不为零，不能关闭钱包"


class WalletHasOpenItems(Conflict):
    code = "WALLET_HAS_OPEN_ITEMS"


@transactional
def freeze(*, family_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Let the wallet take credits only (W6). Raises InvalidState unless it is active."""
    wallet, reason = _begin(family_id, reason, actor)
    _require(wallet.status == WalletStatus.ACTIVE, "钱包不是正常状态，不能冻结")
    _set_status(wallet, WalletStatus.FROZEN)
    _finish(wallet, actor, "wallet.frozen", "冻结钱包", reason, colour="orange",
            before={"status": WalletStatus.ACTIVE}, after={"status": WalletStatus.FROZEN})  # fmt: skip


@transactional
def unfreeze(*, family_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Let a frozen wallet pay again. Raises InvalidState unless it is frozen."""
    wallet, reason = _begin(family_id, reason, actor)
    _require(wallet.status == WalletStatus.FROZEN, "钱包没有冻结，不需要解冻")
    _set_status(wallet, WalletStatus.ACTIVE)
    _finish(wallet, actor, "wallet.unfrozen", "解冻钱包", reason, colour="green",
            before={"status": WalletStatus.FROZEN}, after={"status": WalletStatus.ACTIVE})  # fmt: skip


@transactional
def close(*, family_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """End a wallet for good: it must hold exactly 0.00 and nothing may be open on it (W30).

    Raises WalletNotEmpty, WalletHasOpenItems, WalletClosed.
    """
    wallet, reason = _begin(family_id, reason, actor)
    end(wallet, reason, actor)


def end(wallet: LockedWallet, reason: str, actor: Actor) -> None:
    """Building block: close a wallet that the caller has locked. Raises WalletNotEmpty, WalletHasOpenItems."""
    require_transaction()
    if wallet.balance != ZERO:
        raise WalletNotEmpty(
            f"当前余额 {money.yuan(wallet.balance)}，须先清零才能关闭钱包",
            data={"balance": money.plain(wallet.balance)},
        )
    for question, sentence in _OPEN_THINGS:
        if _is_open(question, wallet):
            raise WalletHasOpenItems(f"{sentence}，办结后才能关闭钱包")
    before = wallet.status
    _set_status(wallet, WalletStatus.CLOSED)
    _finish(wallet, actor, "wallet.closed", "关闭钱包", reason, colour="red",
            before={"status": before}, after={"status": WalletStatus.CLOSED})  # fmt: skip


@transactional
def set_overdraft_limit(
    *, family_id: int, limit: Decimal | None, reason: str, actor: Actor, request_key: RequestKey | None = None
) -> None:
    """Give the wallet its own overdraft limit in positive yuan, or None for the policy's again (W7).

    A limit below what is owed today is allowed: it only refuses new debits (W30).
    """
    if limit is not None and not ZERO <= limit <= MAX_AMOUNT:
        raise Invalid.field("limit", "欠费上限须在 0.00 到 99999999.99 之间")
    wallet, reason = _begin(family_id, reason, actor)
    before = wallet.overdraft_limit
    _require(before != limit, "欠费上限没有变化")
    _change(wallet, overdraft_limit=limit)
    wallet.overdraft_limit = limit
    _finish(wallet, actor, "wallet.limit_set", "设置欠费上限", reason, colour="orange",
            before={"overdraft_limit": _shown(before)}, after={"overdraft_limit": _shown(limit)})  # fmt: skip


@transactional
def grant_bypass(
    *, family_id: int, until: date, reason: str, actor: Actor, request_key: RequestKey | None = None
) -> None:
    """Let bookings pass the arrears block up to and including the studio day `until` (W23). It ends by itself."""
    today = clock.today()
    if not today <= until <= today + MAX_BYPASS:
        raise Invalid.field("until", "放行日期须在今天到一年之内")
    wallet, reason = _begin(family_id, reason, actor)
    end = clock.day_bounds(until)[1]
    before = wallet.bypass_until
    _change(wallet, bypass_until=end, bypass_reason=reason,
            bypass_by=actor.id if actor.type == ActorType.STAFF else None)  # fmt: skip
    wallet.bypass_until = end
    _finish(wallet, actor, "wallet.bypass_granted", "放行欠费预约", reason, colour="orange",
            before={"bypass_until": before and before.isoformat()},
            after={"bypass_until": end.isoformat()})  # fmt: skip


@transactional
def revoke_bypass(*, family_id: int, reason: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """End a running bypass now. Raises InvalidState when none runs."""
    wallet, reason = _begin(family_id, reason, actor)
    before = wallet.bypass_until
    _require(before is not None and before > clock.now(), "当前没有生效中的放行")
    _change(wallet, bypass_until=None, bypass_reason=None, bypass_by=None)
    wallet.bypass_until = None
    _finish(wallet, actor, "wallet.bypass_revoked", "取消欠费放行", reason, colour="blue",
            before={"bypass_until": before.isoformat()}, after={"bypass_until": None})  # fmt: skip


# ── the steps that they share ───────────────────────────────────────────────────────────────────────


def _begin(family_id: int, reason: str, actor: Actor) -> tuple[LockedWallet, str]:
    """Permission, proof, reason, lock. A closed wallet is beyond control."""
    roles.require(actor, Permission.WALLET_CONTROL)
    roles.require_proof(actor, policy.get("step_up_ttl").total_seconds())
    if belonging.is_own(actor, family_id):
        raise Forbidden("不能管理自己家庭的钱包，请由其他店长处理", code="OWN_FAMILY")
    reason = clean(reason, REASON_LENGTH)
    if not reason:
        raise Invalid.field("reason", "请填写原因")
    wallet = lock_wallet(family_id=family_id)
    if wallet.status == WalletStatus.CLOSED:
        raise WalletClosed
    return wallet, reason


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise InvalidState(sentence)


def _is_open(question: str, wallet: LockedWallet) -> bool:
    values = [sa.bindparam("wallet", wallet.id), sa.bindparam("family", wallet.family_id),
              sa.bindparam("now", db_now(), type_=Wallet.created_at.type)]  # fmt: skip
    asked = sa.text(f"{question} LIMIT 1")
    asked = asked.bindparams(*(value for value in values if f":{value.key}" in question))
    return db.session.scalar(asked) is not None


def _set_status(wallet: LockedWallet, status: str) -> None:
    _change(wallet, status=status)
    wallet.status = status


def _change(wallet: LockedWallet, **columns: Any) -> None:
    # updated_at is left alone: people read it as the time of the last movement.
    db.session.execute(_wallets.update().where(_wallets.c.id == wallet.id).values(**columns))
    forget_loaded(wallet.id)


def _shown(limit: Decimal | None) -> str:
    return "按统一规则" if limit is None else money.plain(limit)


def _finish(
    wallet: LockedWallet, actor: Actor, action: str, title: str, reason: str, *, colour: str, before: dict, after: dict
) -> None:
    audit.record(actor, action, target_type="wallet", target_id=wallet.id, family_id=wallet.family_id,
                 old_status=before.get("status"), new_status=after.get("status"), before=before, after=after,
                 reason=reason)  # fmt: skip
    family = db.session.scalar(sa.select(Family.name).where(Family.id == wallet.family_id))
    lines = [["家庭", family], ["余额", money.yuan(wallet.balance)], ["操作人", actor.name], ["原因", reason]]
    if wallet.bypass_until is not None and "bypass_until" in after:
        lines.insert(2, ["放行至", clock.local(wallet.bypass_until - timedelta(seconds=1)).date().isoformat()])
    if "overdraft_limit" in after:
        lines.insert(2, ["欠费上限", f"{before['overdraft_limit']} → {after['overdraft_limit']}"])
    outbox.tell_staff(
        "money",
        f"staff.{action.replace('.', '_')}",
        {"title": title, "colour": colour, "lines": lines,
         "link": {"text": "查看家庭", "path": f"/families/{wallet.family_id}"}},
        dedupe=ids.new_hex(),
    )  # fmt: skip
