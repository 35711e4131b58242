"""What stands between a family and the deletion of its personal data (S8): whatever somebody may still have to ask them
about, or owes them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from app import clock, money
from app.db import db
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.cases.models import CaseStatus, MoneyCase
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import two_families
from app.domain.credits import minutes
from app.domain.credits.models import CompensationLot, CreditStatus, MakeupCredit, MakeupRequest, RequestStatus
from app.domain.ledger.models import Wallet, WalletStatus
from app.domain.orders.models import OrderStatus, PaymentOrder, Refund, RefundStatus
from app.domain.people.models import Family, Staff, StaffStatus
from app.domain.questions.models import QuestionStatus, TransactionQuestion
from app.domain.reconcile.models import DifferenceStatus, ReconcileDifference
from app.domain.retention.scope import Scope
from app.domain.waitlist.models import EntryStatus, WaitlistEntry
from app.money import ZERO

_UNDER_WAY = (RefundStatus.REQUESTED, RefundStatus.APPROVED, RefundStatus.PROCESSING)
_o = PaymentOrder.__table__


def obstacles(scope: Scope) -> list[str]:
    """Sentences with counts; empty when nothing is in the way."""
    family = db.session.get(Family, scope.family_id)
    if family.merged_into is not None:
        return [f"这个家庭已并入家庭 {family.merged_into}，请在那里办理"]
    if family.erased_at is not None:
        return ["个人信息已经删除"]
    found = _of_wallets(scope)
    found += [f"还有 {count} {words}" for count, words in _open(scope) if count]
    linked = sa.select(Staff.id).where(Staff.family_id.in_(scope.families), Staff.status == StaffStatus.ACTIVE)
    if db.session.scalar(linked.limit(1)) is not None:
        found.append("有在职员工的账号关联到这个家庭")
    return found


def _of_wallets(scope: Scope) -> list[str]:
    found = []
    for wallet in db.session.scalars(sa.select(Wallet).where(Wallet.id.in_(scope.wallets)).order_by(Wallet.id)):
        if wallet.balance != ZERO:
            found.append(f"余额 {money.yuan(wallet.balance)}，须先退还或结清")
        if wallet.status == WalletStatus.FROZEN:
            found.append("钱包已冻结")
        found += two_families.open_items(wallet.family_id, wallet.id)
    return list(dict.fromkeys(found))


def _open(scope: Scope) -> list[tuple[int, str]]:
    now, mine = clock.now(), scope.families
    waits = (EntryStatus.WAITING, EntryStatus.OFFERED)
    lots = minutes.usable(now)
    live = sa.or_(
        _o.c.status == OrderStatus.PENDING, _o.c.closing.is_(True),
        sa.and_(_o.c.status == OrderStatus.PAID, _o.c.booking_id.is_(None), ~_settled()),
    )  # fmt: skip
    return [
        (_count(Booking, Booking.id.in_(scope.bookings), Booking.status == BookingStatus.BOOKED, _ahead(now)),
         "个还没上的预约"),
        (_count(MakeupCredit, MakeupCredit.family_id.in_(mine), MakeupCredit.status == CreditStatus.AVAILABLE,
                MakeupCredit.valid_until > now), "笔未用的待补课"),
        (_count(CompensationLot, CompensationLot.family_id.in_(mine), *lots), "笔未用的课时补偿"),
        (_count(WaitlistEntry, WaitlistEntry.family_id.in_(mine), WaitlistEntry.status.in_(waits)), "个候补"),
        (_count(PaymentOrder, _o.c.id.in_(scope.orders), live), "个未办结的订单"),
        (_count(Refund, Refund.family_id.in_(mine), Refund.status.in_(_UNDER_WAY)), "笔未办结的退款"),
        (_count(MoneyCase, MoneyCase.family_id.in_(mine), MoneyCase.status == CaseStatus.OPEN), "项未处理的异常"),
        (_count(TransactionQuestion, TransactionQuestion.wallet_id.in_(scope.wallets),
                TransactionQuestion.status == QuestionStatus.OPEN), "个未答复的流水疑问"),
        (_count(MakeupRequest, MakeupRequest.family_id.in_(mine), MakeupRequest.status == RequestStatus.OPEN),
         "个未答复的补课请求"),
        (_count(ReconcileDifference, ReconcileDifference.family_id.in_(mine),
                ReconcileDifference.status == DifferenceStatus.OPEN), "项未处理的对账差异"),
    ]  # fmt: skip


def _ahead(now: datetime) -> sa.ColumnElement[bool]:
    return sa.exists().where(CourseSchedule.id == Booking.course_schedule_id, CourseSchedule.ends_at > now)


def _settled() -> sa.ColumnElement[bool]:
    """A paid order without a seat whose money went back."""
    return sa.exists().where(Refund.order_id == _o.c.id, Refund.status == RefundStatus.SUCCEEDED)


def _count(model: type, *conditions: sa.ColumnElement[bool]) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(model.__table__).where(*conditions))
