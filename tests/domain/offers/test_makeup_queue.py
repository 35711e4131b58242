"""Waiting with a credit: eligibility, consent in advance and confirmation use it, never money (Q22, 96.59)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings.models import Booking
from app.domain.catalog.models import CourseSchedule
from app.domain.credits.errors import (
    CreditExpired,
    CreditNotFound,
    NoCredit,
    NotEnoughCompensation,
    ShorterClass,
)
from app.domain.credits.models import MakeupCredit
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.makeups import manage
from app.domain.makeups.errors import TypeNotAllowed
from app.domain.offers import join
from app.domain.waitlist.errors import WaitlistFull
from app.domain.waitlist.models import WaitlistEntry, WaitlistFlow
from app.errors import InvalidState
from tests.domain.makeups.steps import Away, whole
from tests.domain.offers.steps import Full, later
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def wait(full: Full, one: Away, number: int = 0, **more) -> int:
    """This student waits with this credit; the queue of `full` knows the entry."""
    entry = join.join(
        schedule_id=full.session, profile_id=one.profile_id, actor=one.actor, credit_id=one.credits[number], **more
    )
    full.families.append(one.family)
    full.entries.append(entry)
    return entry


def entry_of(entry_id: int) -> WaitlistEntry:
    return db.session.get(WaitlistEntry, entry_id, populate_existing=True)


def booking_of(entry_id: int) -> Booking:
    return db.session.get(Booking, entry_of(entry_id).booking_id)


def debits(one: Away) -> int:
    """How often the family's wallet was charged; once for each class that was missed."""
    query = sa.select(sa.func.count(WalletTransaction.id)).join(Wallet, Wallet.id == WalletTransaction.wallet_id)
    return db.session.scalar(query.where(Wallet.family_id == one.family.id, WalletTransaction.type == "deduction"))


def skipped(entry_id: int) -> list[str]:
    query = sa.select(WaitlistFlow.reason).where(WaitlistFlow.entry_id == entry_id, WaitlistFlow.step == "skipped")
    return list(db.session.scalars(query.order_by(WaitlistFlow.id)))


def test_the_head_of_the_queue_confirms_with_the_credit_and_pays_nothing():
    full, one = Full(policy="sequential"), Away(60)
    entry = wait(full, one)
    full.wait()
    full.free()
    assert full.live == [(0, "exclusive")]
    done = full.confirm(0)
    booking = booking_of(entry)
    assert (done.booking_id, booking.kind, booking.price, booking.debit_id) == (booking.id, "makeup", 0, None)
    assert (booking.credit_id, one.credit().status, debits(one)) == (one.credits[0], "used", 1)
    assert (full.statuses, full.releases) == (["confirmed", "waiting"], [("filled", "confirmed")])


def test_a_blocked_wallet_does_not_matter_to_a_credit():
    full, one = Full(), Away(60)
    with transaction():
        db.session.execute(sa.update(Wallet).where(Wallet.family_id == one.family.id).values(status="frozen"))
    wait(full, one)
    full.free()
    full.confirm(0)
    assert full.statuses == ["confirmed"]


def test_consent_in_advance_with_a_shorter_class_earns_minutes():
    full, one = Full(), Away(90)
    with pytest.raises(ShorterClass, match=r"本课程仅1小时，比您原课程少0\.5小时"):
        wait(full, one, auto_accept=True)
    entry = wait(full, one, auto_accept=True, accept_shorter=True)
    full.free(move_on=False)
    assert full.advance() == 1
    assert (full.statuses, full.reasons) == (["confirmed"], ["promoted"])
    assert (booking_of(entry).kind, one.minutes, debits(one)) == ("makeup", 30, 1)
    whole()


def test_a_longer_class_takes_minutes_when_the_seat_comes():
    full, one = Full(), Away(90, 45)
    for more in ({}, {"use_compensation": True}):
        with pytest.raises(NotEnoughCompensation):
            wait(full, one, 1, **more)
    one.book(one.session(60), accept_shorter=True)
    wait(full, one, 1, use_compensation=True)
    assert one.minutes == 30, "nothing is kept back while one waits"
    full.free()
    full.confirm(0)
    assert (one.minutes, one.lots) == (15, [(30, 15)])
    whole()


def test_used_elsewhere_meanwhile_the_next_has_the_seat():
    full, one = Full(policy="sequential"), Away(60)
    entry = wait(full, one)
    full.wait()
    one.book(one.session(60))
    full.free()
    assert (skipped(entry), entry_of(entry).skip_reason) == (["NO_CREDIT"], "NO_CREDIT")
    assert (full.statuses, full.live) == (["waiting", "offered"], [(1, "exclusive")])


def test_used_between_offer_and_confirmation():
    full, one = Full(), Away(60)
    wait(full, one)
    full.free()
    one.book(one.session(60))
    with pytest.raises(NoCredit):
        full.confirm(0)
    assert (full.statuses, full.seats) == (["offered"], (0, 0, 1)), "the offer stands until its deadline"


@pytest.mark.parametrize("auto", [False, True])
def test_minutes_spent_meanwhile(auto):
    full, one = Full(policy="sequential"), Away(90, 45, 60)
    one.book(one.session(60), accept_shorter=True)
    entry = wait(full, one, 1, use_compensation=True, auto_accept=auto)
    full.wait(auto=auto)
    one.book(one.session(90), 2, use_compensation=True)
    full.free()
    assert skipped(entry) == ["NOT_ENOUGH_COMPENSATION"]
    assert full.statuses == ["waiting", "confirmed" if auto else "offered"]
    assert one.minutes == 0
    whole()


def test_voided_or_ended_meanwhile():
    full, one, two = Full(), Away(60), Away(60)
    entries = [wait(full, one), wait(full, two)]
    manage.void(credit_id=one.credits[0], reason="已退费", actor=actor_of(make_staff("manager")))
    with transaction():
        db.session.get(MakeupCredit, two.credits[0]).valid_until = clock.now()
    full.free()
    assert [skipped(entry) for entry in entries] == [["NO_CREDIT"], ["CREDIT_EXPIRED"]]
    assert full.releases == [("returned", "all_skipped")]


def test_back_to_the_wallet_and_to_the_credit_again():
    full, one = Full(), Away(60)
    entry = wait(full, one)
    join.change(entry_id=entry, actor=one.actor, without_credit=True)
    assert entry_of(entry).credit_id is None
    join.change(entry_id=entry, actor=one.actor, credit_id=one.credits[0])
    assert entry_of(entry).credit_id == one.credits[0]
    join.change(entry_id=entry, actor=one.actor, without_credit=True)
    full.free()
    full.confirm(0)
    booking = booking_of(entry)
    assert (booking.kind, booking.credit_id, debits(one)) == ("regular", None, 2)
    assert one.credit().status == "available"
    with pytest.raises(InvalidState):
        join.change(entry_id=entry, actor=one.actor, credit_id=one.credits[0])


def test_a_changed_wish_is_checked_and_a_refused_one_changes_nothing():
    full, one = Full(), Away(90, 45)
    entry = wait(full, one, accept_shorter=True)
    for more, refusal in (
        ({"accept_shorter": False}, ShorterClass), ({"credit_id": one.credits[1]}, NotEnoughCompensation),
        ({"credit_id": Away(60).credits[0]}, CreditNotFound), ({"credit_id": 10**9}, CreditNotFound),
    ):  # fmt: skip
        with pytest.raises(refusal):
            join.change(entry_id=entry, actor=one.actor, auto_accept=True, **more)
    row = entry_of(entry)
    assert (row.credit_id, row.accept_shorter, row.auto_accept) == (one.credits[0], True, False)


def test_who_may_not_wait_with_a_credit():
    full, one = Full(), Away(60, 60)
    one.book(one.session(60))
    refusals = [
        (full, one.credits[0], NoCredit), (full, Away(60).credits[0], CreditNotFound), (full, 10**9, CreditNotFound),
        (Full(starts_in=timedelta(days=61)), one.credits[1], CreditExpired),
    ]  # fmt: skip
    for where, credit_id, refusal in refusals:
        with pytest.raises(refusal):
            join.join(
                schedule_id=where.session, profile_id=one.profile_id, actor=one.actor, credit_id=credit_id
            )  # fmt: skip
    vip = one.session(60, type_code="vip", capacity=1, booked=1)
    with pytest.raises(TypeNotAllowed):
        join.join(schedule_id=vip, profile_id=one.profile_id, actor=one.actor, credit_id=one.credits[1])
    assert db.session.query(WaitlistEntry).count() == 0
    crowd = Full()
    with transaction():
        db.session.get(CourseSchedule, crowd.session).waitlist_capacity = 0
    with pytest.raises(WaitlistFull):
        wait(crowd, one, 1)


def test_one_credit_in_two_queues_is_used_once():
    first, second, one = Full(), Full(starts_in=timedelta(days=5)), Away(60)
    wait(first, one, auto_accept=True), wait(second, one, auto_accept=True)
    first.free()
    second.free()
    assert (first.statuses, second.statuses) == (["confirmed"], ["waiting"])
    assert skipped(second.entries[0]) == ["NO_CREDIT"]
    assert second.releases == [("returned", "all_skipped")]
    with later(minutes=1):
        assert second.advance() == 0
