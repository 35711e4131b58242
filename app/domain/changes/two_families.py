"""Reading for a move or a merge between two families (P3, P11): what stands where, what moves, what is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import LIVE, Booking, BookingStatus, LateRefund, LateRefundStatus
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.models import CreditStatus, MakeupCredit
from app.domain.desk.models import AdjustmentStatus, WalletAdjustment, Withdrawal
from app.domain.ledger.models import Wallet, WalletStatus, WalletTransaction
from app.domain.orders.models import OrderStatus, PaymentOrder
from app.domain.people.models import Family, Profile, User

_b, _s, _c = Booking.__table__, CourseSchedule.__table__, MakeupCredit.__table__
_o = PaymentOrder.__table__


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two families with its wallet; `version` is the wallet's, by which a stale form is known."""

    id: int
    name: str
    merged_into: int | None
    wallet_id: int
    balance: Decimal
    status: str
    version: int
    parents: int
    students: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen. `bookings` and `credits` are those that move along; `obstacles` are sentences, and while
    there is one nothing can happen; `namesakes` are students of one name in both families, often one child."""

    source: Side
    target: Side
    bookings: int
    credits: int
    obstacles: tuple[str, ...]
    namesakes: tuple[str, ...] = ()

    @property
    def together(self) -> Decimal:
        """The target's balance after a merge, in yuan."""
        return self.source.balance + self.target.balance


def side(family_id: int) -> Side | None:
    """A family as one side of a move; None if there is none."""
    row = db.session.execute(
        sa.select(
            Family.name, Family.merged_into, Wallet.id, Wallet.balance, Wallet.status, Wallet.version,
            sa.select(sa.func.count()).where(User.family_id == Family.id).scalar_subquery(),
        )
        .join(Wallet, Wallet.family_id == Family.id)
        .where(Family.id == family_id)
    ).first()  # fmt: skip
    if row is None:
        return None
    students = db.session.scalars(sa.select(Profile.name).where(Profile.family_id == family_id).order_by(Profile.id))
    return Side(family_id, *row, tuple(students))


def merge_plan(source: Side, target: Side) -> Plan:
    """What merging the one into the other would do."""
    obstacles = [*wallet_obstacles(source, target), *open_items(source.id, source.wallet_id)]
    namesakes = dict.fromkeys(name for name in source.students if name in target.students)
    return Plan(
        source, target, _count(_b, _b.c.family_id == source.id, _b.c.status == BookingStatus.BOOKED),
        _count(_c, _c.c.family_id == source.id, _c.c.status == CreditStatus.AVAILABLE), tuple(obstacles),
        tuple(namesakes),
    )  # fmt: skip


def move_plan(source: Side, target: Side, profile_id: int | None) -> Plan:
    """What moving a student would do; without one, a parent, whom nothing follows."""
    if profile_id is None:
        return Plan(source, target, 0, 0, ())
    available = _count(_c, _c.c.profile_id == profile_id, _c.c.status == CreditStatus.AVAILABLE)
    return Plan(source, target, len(live_bookings(source.id, profile_id)), available, ())


def live_orders(family_id: int, profile_id: int) -> list[int]:
    """A student's trial orders that are not over: still to be paid, without a seat, or for a class still to come."""
    today = clock.day_bounds(clock.today())[0]
    ahead = sa.or_(_o.c.booking_id.is_(None), _s.c.starts_at >= today)
    query = (
        sa.select(_o.c.id)
        .join_from(_o, _s, _s.c.id == _o.c.course_schedule_id)
        .where(
            _o.c.family_id == family_id, _o.c.profile_id == profile_id,
            sa.or_(_o.c.status == OrderStatus.PENDING, sa.and_(_o.c.status == OrderStatus.PAID, ahead)),
        )
    )  # fmt: skip
    return list(db.session.scalars(query))


def live_bookings(family_id: int, profile_id: int) -> list[int]:
    """A student's bookings still to come to an end: not yet held, or marked today, when a mark can be taken back."""
    today, _ = clock.day_bounds(clock.today())
    query = (
        sa.select(_b.c.id)
        .join_from(_b, _s, _s.c.id == _b.c.course_schedule_id)
        .where(
            _b.c.family_id == family_id,
            _b.c.profile_id == profile_id,
            sa.or_(_b.c.status == BookingStatus.BOOKED, sa.and_(_b.c.status.in_(LIVE), _s.c.starts_at >= today)),
        )
    )
    return list(db.session.scalars(query))


def wallet_obstacles(source: Side, target: Side) -> list[str]:
    """Wallets that a merge cannot move money between (W6)."""
    words = {WalletStatus.FROZEN: "已冻结，解冻后才能合并", WalletStatus.CLOSED: "已关闭，不能合并"}
    return [f"「{one.name}」的钱包{words[one.status]}" for one in (source, target) if one.status in words]


def open_items(family_id: int, wallet_id: int) -> list[str]:
    """What is under way on a wallet and must be settled before its family is merged away: sentences with counts."""
    late = (
        sa.select(sa.func.count())
        .select_from(LateRefund)
        .join(Booking, Booking.id == LateRefund.booking_id)
        .outerjoin(WalletTransaction, WalletTransaction.id == Booking.debit_id)
        .where(
            LateRefund.status == LateRefundStatus.PENDING,
            sa.or_(Booking.family_id == family_id, WalletTransaction.wallet_id == wallet_id),
        )
    )
    asked, out = WalletAdjustment.__table__, Withdrawal.__table__
    found = (
        (_count(asked, asked.c.wallet_id == wallet_id, asked.c.status == AdjustmentStatus.PENDING),
         "待处理的余额调整"),
        (_count(out, out.c.wallet_id == wallet_id, out.c.status.in_(("requested", "approved"))), "未办结的提现"),
        (db.session.scalar(late), "待复核的逾时退款"),
    )  # fmt: skip
    return [f"还有 {count} 笔{words}" for count, words in found if count]


def _count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions))
