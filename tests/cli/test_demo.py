"""`flask demo`: deterministic, once, refused in production, and true to the ledger's rules."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock, create_app
from app.cli.demo.names import STAFF, household
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.bookings.models import Booking
from app.domain.cases.models import MoneyCase
from app.domain.catalog.models import Course, CourseType
from app.domain.catalog.models import CourseSchedule as Schedule
from app.domain.credits.models import CompensationHistory, MakeupCredit, MakeupRequest
from app.domain.desk.models import Receipt, WalletAdjustment, Withdrawal
from app.domain.ledger import verify
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.makeups import desk_queries
from app.domain.offers import board
from app.domain.orders.models import PaymentOrder
from app.domain.outbox.models import Notification
from app.domain.people.models import Family, Level, Profile, Staff, User
from app.domain.search import queries as search
from app.domain.waitlist.models import SeatRelease
from sandbox.parents import DEMO_PARENTS
from tests.cli.demo_months import check_months
from tests.conftest import make_settings
from tests.domain.makeups.steps import whole

pytestmark = pytest.mark.concurrency

COUNTED = (Family, User, Profile, Level, Staff, Wallet, WalletTransaction, WalletAdjustment, Receipt, Notification,
           AuditEntry, Schedule, Booking)  # fmt: skip


def run(app, *args: str):
    return app.test_cli_runner().invoke(args=["demo", *args])


def counts() -> dict[str, int]:
    db.session.rollback()
    return {m.__tablename__: db.session.scalar(sa.select(sa.func.count()).select_from(m)) for m in COUNTED}


def ledger_is_true() -> bool:
    db.session.rollback()
    return not verify.run(full=True).findings


def test_the_demo_from_nothing_to_large(live_app):
    """One long test: making the demo takes seconds, and each part looks at what the part before it made."""
    first = run(live_app, "prepare")
    assert first.exit_code == 0, first.output
    for username, _, _ in STAFF:
        assert username in first.output

    with live_app.app_context():
        _check_people()
        _check_desk()
        _check_classes()
        _check_bookings()
        _check_makeups()
        _check_waits()
        assert ledger_is_true()
        assert check_months(live_app) >= 2
        made = counts()

        assert run(live_app, "seed").exit_code == 0
        assert counts() == made, "run again it makes nothing"

        large = run(live_app, "seed", "--families", "150", "--transactions", "3000")
        assert large.exit_code == 0, large.output
        filled = counts()
        assert (filled["families"], filled["wallet_transactions"]) == (150, 3000)
        assert filled["wallets"] == 150
        assert ledger_is_true()
        assert run(live_app, "seed", "--families", "150", "--transactions", "3000").exit_code == 0
        assert counts()["wallet_transactions"] == 3000
        _check_bulk_people()


def _check_people() -> None:
    for parent in DEMO_PARENTS:
        user = db.session.scalars(sa.select(User).where(User.openid == parent.openid)).one()
        assert (user.real_name, user.phone) == (parent.name, parent.phone)
    assert {staff.role for staff in db.session.scalars(sa.select(Staff))} == {
        "front_desk", "finance", "manager", "auditor", "admin",
    }  # fmt: skip
    found = search.find("zxm")
    assert "张小明" in re.sub(r"<[^>]+>", "", repr(found))


def _check_desk() -> None:
    states = {tuple(row) for row in db.session.execute(sa.select(WalletAdjustment.status, WalletAdjustment.cause))}
    assert states >= {("completed", None), ("pending", None), ("cancelled", "rejected"), ("cancelled", "withdrawn"),
                      ("cancelled", "lapsed")}  # fmt: skip
    withdrawn = set(db.session.scalars(sa.select(Withdrawal.status)))
    assert withdrawn == {"requested", "approved", "paid", "rejected", "failed", "cancelled"}
    wallets = {wallet.status for wallet in db.session.scalars(sa.select(Wallet))}
    assert wallets == {"active", "frozen", "closed"}
    low, high = db.session.execute(sa.select(sa.func.min(Wallet.balance), sa.func.max(Wallet.balance))).one()
    assert low <= -640 < 2000 < high
    assert set(db.session.scalars(sa.select(Notification.status))) >= {"sent", "failed", "pending"}


def _check_classes() -> None:
    kinds = {row.code: (row.waitlist_capacity, row.is_trial) for row in db.session.scalars(sa.select(CourseType))}
    assert kinds == {"regular": (8, False), "vip": (5, False), "trial": (8, True)}
    trial = sa.select(Course.price).join(CourseType).where(CourseType.is_trial)
    assert set(db.session.scalars(trial)) == {Decimal("200.00")}
    monday = clock.today() - timedelta(days=clock.today().weekday())
    weeks = Counter(
        (clock.local(moment).date() - monday).days // 7 for moment in db.session.scalars(sa.select(Schedule.starts_at))
    )
    assert set(weeks) == {-2, -1, 0, 1, 2}
    assert len(set(weeks.values())) == 1
    assert 50 <= weeks[0] <= 70
    one, two = sa.orm.aliased(Schedule), sa.orm.aliased(Schedule)
    same = sa.or_(one.coach_id == two.coach_id, one.venue_id == two.venue_id)
    overlap = sa.and_(one.id < two.id, same, one.starts_at < two.ends_at, two.starts_at < one.ends_at)
    assert db.session.execute(sa.select(one.id).join(two, overlap)).first() is None
    full = sa.select(sa.func.count()).where(Schedule.booked == Schedule.capacity, Schedule.starts_at > clock.now())
    assert db.session.scalar(full) >= 8


def _check_bookings() -> None:
    """Seats, bookings and money tell one story: what a service made and what the counters say."""
    live = sa.select(sa.func.count(Booking.live_profile_id)).where(Booking.course_schedule_id == Schedule.id)
    assert db.session.execute(sa.select(Schedule.id).where(Schedule.booked != live.scalar_subquery())).first() is None
    states = Counter(db.session.scalars(sa.select(Booking.status)))
    assert {"booked", "attended", "absent", "cancelled", "on_leave"} == set(states)
    assert states["attended"] > 200
    assert {"wallet", "staff", "wechat_pay", "makeup_credit"} == set(db.session.scalars(sa.select(Booking.source)))
    orders = Counter(db.session.scalars(sa.select(PaymentOrder.status)))
    assert {"pending", "paid", "failed", "cancelled", "expired"} == set(orders)
    seated = sa.select(PaymentOrder.booking_id).where(PaymentOrder.booking_id.is_not(None))
    trials = sa.select(Booking.id).where(Booking.kind == "trial")
    assert set(db.session.scalars(seated)) == set(db.session.scalars(trials))
    assert {"unseated", "trial_cancelled"} == set(db.session.scalars(sa.select(MoneyCase.kind)))
    bookings = {row.id: row for row in db.session.scalars(sa.select(Booking).where(Booking.kind == "regular"))}
    rows = db.session.scalars(sa.select(WalletTransaction).where(WalletTransaction.reference_type == "booking")).all()
    debits = {row.id: row for row in rows if row.type == "deduction"}
    assert {booking.debit_id for booking in bookings.values()} == set(debits)
    assert all(-debits[b.debit_id].amount == b.price for b in bookings.values())
    assert all(debits[b.debit_id].reference_id == str(b.id) for b in bookings.values())
    refunds = {row.id for row in rows if row.type == "refund"}
    assert {b.refund_id for b in bookings.values() if b.status == "cancelled"} == refunds
    assert all(b.refund_id is None for b in bookings.values() if b.status != "cancelled")
    credits = set(db.session.scalars(sa.select(MakeupCredit.booking_id)))
    assert credits == {b.id for b in bookings.values() if b.status == "on_leave"}
    # In every wallet time runs one way.
    one, two = sa.orm.aliased(WalletTransaction), sa.orm.aliased(WalletTransaction)
    after = sa.and_(two.wallet_id == one.wallet_id, two.seq == one.seq + 1, two.created_at < one.created_at)
    assert db.session.execute(sa.select(one.id).join(two, after)).first() is None
    # What the stories end at, before what staff did by hand.
    ends = {1: "120.00", 3: "-300.00", 4: "-680.00", 7: "60.00", 27: "-640.00", 38: "-520.00"}
    homes = {number: household(number).openid for number in ends}
    found = dict(db.session.execute(
        sa.select(User.openid, Wallet.balance).join(Wallet, Wallet.family_id == User.family_id)
    ).all())  # fmt: skip
    assert {number: found[openid] for number, openid in homes.items()} == {n: Decimal(b) for n, b in ends.items()}
    bypassed = sa.select(Wallet.balance).where(Wallet.bypass_until > clock.now())
    assert list(db.session.scalars(bypassed)) == [Decimal("-640.00")]


def _check_makeups() -> None:
    """Some are made up, shorter ones too; some end soon; the desk is asked; every minute has its history."""
    made = list(db.session.scalars(sa.select(Booking).where(Booking.kind == "makeup")))
    used = set(db.session.scalars(sa.select(MakeupCredit.id).where(MakeupCredit.status == "used")))
    assert {one.credit_id for one in made} == used
    assert len(made) >= 5
    assert {(one.price, one.debit_id) for one in made} == {(Decimal("0.00"), None)}
    kinds = set(db.session.scalars(sa.select(CompensationHistory.kind)))
    assert {"earned", "adjusted"} <= kinds
    whole()
    assert set(db.session.scalars(sa.select(MakeupRequest.status))) >= {"open", "answered"}
    assert desk_queries.ending_count() > 0


def _check_waits() -> None:
    """A seat is offered right now, one has gone its way, a queue is full, and the counters agree with the rows."""
    every = board.queues()
    assert len(every) == 5
    assert sum(one.full for one in every) == 1
    lines = [line for one in every for line in one.lines]
    assert {"open", "exclusive"} == {line.offer.kind for line in lines if line.offer}
    assert {True, False} == {line.reachable for line in lines}
    assert any(line.staff_note for line in lines)
    assert Counter(db.session.scalars(sa.select(SeatRelease.status))) == {"kept": 2, "filled": 1}
    assert sum(one.session.kept for one in every) == 2
    assert all(line.told is not None for line in lines if line.offer)


@pytest.mark.parametrize("live_app", ["sqlite"], indirect=True)  # the calendar is the same on both
def test_the_demo_is_whole_in_the_first_minutes_of_a_week(live_app):
    """Nothing of the week has happened yet, and its last session was put in a day and a half ago."""
    with clock.travel(by=datetime.fromisoformat("2027-01-04T00:05:00+08:00") - clock.now()):
        done = run(live_app, "seed")
        assert done.exit_code == 0, done.output
        with live_app.app_context():
            _check_classes()
            _check_bookings()
            _check_waits()


def _check_bulk_people() -> None:
    last = db.session.scalars(sa.select(User).order_by(User.id.desc()).limit(1)).one()
    assert re.fullmatch(r"1[5-9][0-9]{9}", last.phone)
    assert db.session.scalars(sa.select(Profile).where(Profile.family_id == last.family_id)).one().birthday


def test_the_same_number_is_the_same_family():
    assert household(77) == household(77)
    homes = [household(number) for number in range(1, 200)]
    assert len({home.openid for home in homes}) == len({home.phone for home in homes}) == len(homes)


def test_a_demo_that_broke_off_is_not_built_upon(live_app):
    from tests.factories import make_family

    with live_app.app_context():
        made = make_family()
        db.session.execute(sa.text("UPDATE users SET openid = 'demo-parent-01' WHERE id = :id"), {"id": made.user_id})
        db.session.commit()
        before = counts()
        done = run(live_app, "seed")
        assert done.exit_code == 1
        assert "没有建完" in done.output
        assert counts() == before


@pytest.mark.parametrize("command", ["seed", "prepare"])
def test_production_has_no_demo(tmp_path, command):
    settings = make_settings(
        "mysql+pymysql://nobody@127.0.0.1:1/none", tmp_path, DESK_ENV="production", DESK_PUBLIC_URL="https://desk.test",
        DESK_WECHAT_APPID="wx1", DESK_WECHAT_SECRET="s", DESK_REDIS_URL="redis://127.0.0.1:1/0",
        **{f"DESK_FEISHU_{group}_URL": "https://open.feishu.cn/x" for group in ("MONEY", "WAITLIST", "SYSTEM")},
    )  # fmt: skip
    done = run(create_app(settings), command)
    assert done.exit_code == 1
    assert "生产环境" in done.output
