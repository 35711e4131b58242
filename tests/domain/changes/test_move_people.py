"""Moving one student or one parent: what is to come goes along, the money stays but for what is transferred (P11)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db
from app.domain.audit.models import AuditEntry
from app.domain.bookings import attendance, cancel, leave, place
from app.domain.bookings.models import Booking
from app.domain.bookings.rules import Event
from app.domain.changes import families, two_families
from app.domain.changes.errors import FamilyMerged, NotEnough
from app.domain.credits.errors import CreditNotFound
from app.domain.credits.models import MakeupCredit, MakeupRequest
from app.domain.desk.errors import OwnFamily
from app.domain.ledger import control, verify
from app.domain.ledger.errors import WalletFrozen
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.makeups import asking
from app.domain.outbox.models import Notification
from app.domain.people.models import User
from app.domain.search import queries as search
from app.errors import Forbidden, Invalid, NotFound, Replayed
from tests.factories import make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def finance(app):
    return actor_of(make_staff("finance"))


def move(source, target, actor, profile_id=None, **more):
    return families.move_profile(
        profile_id=profile_id or source.profile_ids[0], from_family_id=source.id, to_family_id=target.id, actor=actor,
        **({"reason": "随妈妈"} | more),
    )  # fmt: skip


def balances(*made) -> list[Decimal]:
    db.session.rollback()
    return [db.session.scalar(sa.select(Wallet.balance).where(Wallet.id == family.wallet_id)) for family in made]


def family_of(model, row_id) -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(model.family_id).where(model.id == row_id))


def book(family, starts_in, number=0):
    return place.book(schedule_id=make_session(starts_in=starts_in), profile_id=family.profile_ids[number],
                      actor=parent_actor(family)).booking_id  # fmt: skip


def test_a_student_takes_what_is_to_come_along(finance):
    source = make_family(students=("韩梅", "韩松"), balance="1500.00")
    target = make_family(parent="韩爸爸", students=(), balance="0.00")
    with clock.travel(by=timedelta(days=-2)):
        held = book(source, timedelta(hours=1))
        attendance.mark(booking_id=held, event=Event.ATTEND, actor=finance)
    gone, given_up = book(source, timedelta(days=2)), book(source, timedelta(days=3))
    coming, siblings = book(source, timedelta(days=4)), book(source, timedelta(days=4), 1)
    today = book(source, timedelta(minutes=30))
    attendance.mark(booking_id=today, event=Event.ATTEND, actor=finance)
    cancel.cancel(booking_id=gone, actor=parent_actor(source))
    leave.take_leave(booking_id=given_up, actor=parent_actor(source))
    plan = two_families.move_plan(*(two_families.side(f.id) for f in (source, target)), source.profile_ids[0])
    assert (plan.bookings, plan.credits) == (2, 1)
    before = balances(source)
    done = move(source, target, finance)
    assert done.bookings == 2
    assert [family_of(Booking, one) for one in (coming, today)] == [target.id] * 2
    assert [family_of(Booking, one) for one in (held, gone, given_up, siblings)] == [source.id] * 4
    assert db.session.scalar(sa.select(MakeupCredit.family_id)) == target.id
    assert balances(source, target) == [*before, 0]
    assert [hit.family_id for hit in search.find("韩梅")] == [target.id]
    assert [hit.family_id for hit in search.find("韩松")] == [source.id]
    # The money of a booking goes back to who paid it.
    parent = parent_actor(target)
    cancel.cancel(booking_id=coming, actor=parent)
    assert balances(source, target) == [before[0] + 200, 0]
    assert verify.run(full=True, keep_anchor=False).sound


def test_who_asked_for_a_makeup_class_is_answered_in_the_new_family(finance):
    source, target = make_family(students=("韩梅", "韩松"), balance="900.00"), make_family(parent="韩爸爸", students=())
    asked = []
    for number in (0, 1):
        leave.take_leave(booking_id=book(source, timedelta(days=3), number), actor=parent_actor(source))
        credit = db.session.scalar(
            sa.select(MakeupCredit.id).where(MakeupCredit.profile_id == source.profile_ids[number])
        )
        asked.append(asking.ask(credit_id=credit, text="周末都可以", wishes=None, actor=parent_actor(source)))
    move(source, target, finance)
    assert [family_of(MakeupRequest, one) for one in asked] == [target.id, source.id]
    asking.answer(request_id=asked[0], text="周六十点有位子", actor=finance)
    told = sa.select(Notification.family_id, Notification.user_id).where(Notification.type == "makeup_credit")
    assert db.session.execute(told.order_by(Notification.id.desc())).first() == (target.id, target.user_id)
    with pytest.raises(CreditNotFound):
        asking.ask(credit_id=credit - 1, text="再问一次", wishes=None, actor=parent_actor(source))


def test_an_amount_goes_along_by_transfer(finance):
    source, target = make_family(balance="300.00"), make_family(balance="-100.00")
    key = RequestKey(f"staff:{finance.id}", "2" * 32, "same", lambda done: {"to": done.to_family_id})
    done = move(source, target, finance, amount=Decimal("120.50"), request_key=key)
    assert (done.left_balance, done.new_balance) == (Decimal("179.50"), Decimal("20.50"))
    with pytest.raises(Replayed):
        move(source, target, finance, amount=Decimal("120.50"), request_key=key)
    rows = list(db.session.scalars(sa.select(WalletTransaction.type).where(
        WalletTransaction.reference_type == "transfer").order_by(WalletTransaction.id)))  # fmt: skip
    assert rows == ["transfer_out", "transfer_in"]
    card = db.session.scalar(sa.select(Notification).where(Notification.type == "staff.family_transfer"))
    assert "¥120.50" in card.text
    moved = sa.select(AuditEntry.family_id).where(AuditEntry.action == "profile.moved").order_by(AuditEntry.id)
    assert list(db.session.scalars(moved)) == [source.id, target.id]


def test_only_what_is_there_can_be_transferred(finance):
    source, target = make_family(balance="300.00"), make_family()
    owing = make_family(balance="-5.00")
    for family, amount in ((source, "300.01"), (owing, "1.00")):
        with pytest.raises(NotEnough):
            move(family, target, finance, amount=Decimal(amount))
    for amount in ("-1.00", "NaN"):
        with pytest.raises(Invalid):
            move(source, target, finance, amount=Decimal(amount))
    control.freeze(family_id=source.id, reason="核对", actor=actor_of(make_staff("manager")))
    with pytest.raises(WalletFrozen):
        move(source, target, finance, amount=Decimal("1.00"))
    assert family_of(User, source.user_id) == source.id
    move(source, target, finance)  # a frozen wallet holds its money, not its people
    move(owing, target, finance)
    assert balances(source, target, owing) == [300, 0, -5]


def test_a_parent_moves_alone(finance):
    source, target = make_family(parent="外婆", balance="300.00"), make_family(balance="0.00")
    booking_id = book(source, timedelta(days=2))
    done = families.move_parent(user_id=source.user_id, from_family_id=source.id, to_family_id=target.id,
                                reason="外婆改带妹妹", amount=Decimal("40.00"), actor=finance)  # fmt: skip
    assert (done.bookings, done.left_balance, done.new_balance) == (0, 60, 40)
    assert family_of(User, source.user_id) == target.id
    assert family_of(Booking, booking_id) == source.id
    assert [hit.family_id for hit in search.find("外婆")] == [target.id, source.id]  # the family keeps its name
    with pytest.raises(NotFound, match="刚刚被转走"):
        families.move_parent(user_id=source.user_id, from_family_id=source.id, to_family_id=target.id,
                             reason="再转一次", actor=finance)  # fmt: skip
    with pytest.raises(NotFound):
        families.move_parent(user_id=999_999, from_family_id=source.id, to_family_id=target.id, reason="x",
                             actor=finance)  # fmt: skip
    plan = two_families.move_plan(two_families.side(source.id), two_families.side(target.id), None)
    assert (plan.bookings, plan.credits) == (0, 0)


def test_who_and_where(finance):
    source, target, third = make_family(), make_family(), make_family()
    with pytest.raises(Forbidden):
        move(source, target, actor_of(make_staff("front_desk")))
    with pytest.raises(OwnFamily):
        move(source, target, actor_of(make_staff("finance", family_id=target.id)))
    with pytest.raises(NotFound):
        move(source, target, finance, profile_id=target.profile_ids[0])
    with pytest.raises(NotFound):
        move(source, target, finance, profile_id=999_999)
    with pytest.raises(Invalid):
        move(source, source, finance)
    families.merge_families(from_family_id=third.id, into_family_id=target.id, reason="x", actor=finance)
    with pytest.raises(FamilyMerged):
        move(source, third, finance)


def test_a_booking_made_after_the_move_is_paid_by_the_new_family(finance):
    source, target = make_family(balance="500.00"), make_family(balance="500.00")
    move(source, target, finance)
    done = place.book(schedule_id=make_session(), profile_id=source.profile_ids[0], actor=parent_actor(target))
    assert db.session.get(Booking, done.booking_id).family_id == target.id
    assert balances(source, target) == [500, 300]
    with pytest.raises(NotFound):
        place.book(schedule_id=make_session(), profile_id=source.profile_ids[0], actor=parent_actor(source))
