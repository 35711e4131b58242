"""Joining a queue and leaving it; trials; what changes of the session and of families mean for those who wait."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import errors, place
from app.domain.bookings.models import Booking
from app.domain.bookings.queries import my_states
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import CourseSchedule
from app.domain.changes import cancel_session, edit_session, families
from app.domain.offers import advance, answer, join
from app.domain.orders import checkout, ending
from app.domain.orders.errors import TrialAlreadyBooked
from app.domain.orders.rules import Event
from app.domain.outbox.models import Notification
from app.domain.waitlist import queries
from app.domain.waitlist.errors import (
    AlreadyWaiting,
    EntryNotFound,
    NoOffer,
    OfferExpired,
    SeatAvailable,
    WaitlistClosed,
    WaitlistFull,
)
from app.domain.waitlist.models import WaitlistEntry
from app.errors import Forbidden, Invalid, InvalidState, NotFound
from tests.domain.offers.steps import SYSTEM, Full, cards, later
from tests.factories import make_course, make_family, make_level, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def wait(full: Full, family, **more) -> int:
    return join.join(schedule_id=full.session, profile_id=family.profile_ids[0], actor=parent_actor(family), **more)


def test_places_are_counted_when_read():
    full = Full(waiting=3)
    shown = [queries.entry(one) for one in full.entries]
    assert [(one.position, one.queue_length, one.status) for one in shown] == [
        (1, 3, "waiting"), (2, 3, "waiting"), (3, 3, "waiting")
    ]  # fmt: skip
    full.leave(0)
    assert [queries.entry(one).position for one in full.entries] == [None, 1, 2]
    again = wait(full, full.families[0])
    assert queries.entry(again).position == 3
    assert catalog.session_card(full.session).waitlist_count == 3


@pytest.mark.parametrize(
    ("case", "refusal"),
    [
        ("nobody", NotFound),
        ("no session", errors.ScheduleNotFound),
        ("free seat", SeatAvailable),
        ("twice", AlreadyWaiting),
        ("booked", errors.AlreadyBooked),
        ("clash", errors.TimeConflict),
        ("level", errors.LevelNotAllowed),
        ("closed", WaitlistClosed),
        ("started", errors.ScheduleStarted),
        ("full queue", WaitlistFull),
    ],
)
def test_joining_is_refused_and_nothing_changes(case, refusal):
    full, family = Full(waiting=1), make_family(balance="500.00")
    make_level("L1", 1)
    session_id, who = full.session, family
    if case == "nobody":
        who = make_family()
    if case == "no session":
        full.session = 999_999
    if case == "free seat":
        full.session = make_session()
    if case == "twice":
        who = family = full.families[0]
    if case == "booked":
        who = family = full.seated[0][0]
    if case == "clash":
        other = make_session(starts_at=db.session.get(CourseSchedule, session_id).starts_at)
        place.book(schedule_id=other, profile_id=family.profile_ids[0], actor=parent_actor(family))
    if case == "level":
        full.session = make_session(make_course(level="L3"), capacity=1, kept=1)
    if case in ("closed", "started"):
        hours = 6 if case == "closed" else 0
        with transaction():
            row = db.session.get(CourseSchedule, session_id)
            row.starts_at = clock.now() + timedelta(hours=hours)
            row.ends_at = row.starts_at + timedelta(hours=1)
    if case == "full queue":
        with transaction():
            db.session.get(CourseSchedule, session_id).waitlist_capacity = 1
    before = db.session.scalar(sa.select(sa.func.count()).select_from(WaitlistEntry))
    with pytest.raises(refusal):
        join.join(schedule_id=full.session, profile_id=who.profile_ids[0], actor=parent_actor(family))
    assert db.session.scalar(sa.select(sa.func.count()).select_from(WaitlistEntry)) == before


def test_a_full_queue_tells_staff_once_and_staff_may_pass_it_with_a_reason():
    full = Full()
    with transaction():
        db.session.get(CourseSchedule, full.session).waitlist_capacity = 2
    full.wait()
    assert cards("staff.waitlist_full") == 0
    full.wait()
    assert cards("staff.waitlist_full") == 1
    full.leave(1)
    full.wait()
    assert cards("staff.waitlist_full") == 1
    desk, family = actor_of(make_staff("front_desk")), make_family()
    ask = {"schedule_id": full.session, "profile_id": family.profile_ids[0], "actor": desk}
    with pytest.raises(WaitlistFull) as refusal:
        join.join(**ask)
    assert refusal.value.data == {"waitlist_count": 2, "waitlist_capacity": 2}
    entry = queries.entry(join.join(**ask, reason="妹妹已在班里"))
    assert (entry.position, entry.staff_note, entry.user_id) == (3, "妹妹已在班里", family.user_id)
    with pytest.raises(Forbidden):
        join.join(**ask | {"actor": actor_of(make_staff("auditor")), "reason": "x"})


def test_lowering_the_capacity_throws_nobody_out():
    full = Full(waiting=3)
    with transaction():
        db.session.get(CourseSchedule, full.session).waitlist_capacity = 1
    full.free()
    assert len(full.live) == 3


def test_another_familys_entry_is_nobodys():
    full, other = Full(waiting=1), make_family()
    full.free()
    for ask in (
        lambda: answer.begin(entry_id=full.entries[0], actor=parent_actor(other)),
        lambda: answer.decline(entry_id=full.entries[0], actor=parent_actor(other)),
        lambda: join.leave(entry_id=full.entries[0], actor=parent_actor(other)),
        lambda: join.change(entry_id=full.entries[0], auto_accept=True, actor=parent_actor(other)),
        lambda: answer.begin(entry_id=999_999, actor=parent_actor(other)),
        lambda: answer.confirm(entry_id=999_999, actor=parent_actor(other)),
        lambda: answer.confirm(entry_id=full.entries[0], actor=parent_actor(other)),
    ):
        with pytest.raises(EntryNotFound):
            ask()
    assert full.statuses == ["offered"]


def test_staff_confirm_for_the_parent_and_remove_with_a_reason():
    full, desk = Full(waiting=2), actor_of(make_staff("front_desk"))
    full.free()
    done = answer.confirm(entry_id=full.entries[1], actor=desk)
    assert db.session.get(Booking, done.booking_id).source == "staff"
    with pytest.raises(Invalid):
        join.leave(entry_id=full.entries[0], actor=desk)
    join.leave(entry_id=full.entries[0], actor=desk, reason="家长来电")
    assert full.reasons == ["removed", "confirmed"]
    with pytest.raises(Forbidden):
        answer.begin(entry_id=full.entries[0], actor=actor_of(make_staff("auditor")))


def test_a_wait_that_has_ended_keeps_its_consent():
    full = Full(waiting=1)
    full.leave(0)
    with pytest.raises(InvalidState, match="已退出"):
        join.change(entry_id=full.entries[0], auto_accept=True, actor=parent_actor(full.families[0]))


def test_what_a_session_is_to_a_family_that_waits():
    full = Full(waiting=1)
    card = [catalog.session_card(full.session)]
    mine = {"family_id": full.families[0].id}
    assert my_states(card, **mine)[full.session] == "waiting"
    full.free()
    assert my_states(card, **mine)[full.session] == "offered"
    with later(minutes=15):
        assert my_states(card, **mine)[full.session] == "waiting"
    full.confirm(0)
    assert my_states(card, **mine)[full.session] == "booked"


def test_other_waits_at_the_same_time_are_asked_about():
    full = Full(waiting=1)
    starts_at = db.session.get(CourseSchedule, full.session).starts_at
    other = make_session(starts_at=starts_at + timedelta(minutes=30), capacity=1, kept=1)
    join.join(schedule_id=other, profile_id=full.families[0].profile_ids[0], actor=parent_actor(full.families[0]))
    full.free()
    full.confirm(0)
    assert [one.schedule.id for one in answer.clashes(full.entries[0])] == [other]


def test_whoever_is_booked_in_another_way_waits_no_more():
    full = Full(waiting=2, policy="sequential")
    full.free()
    manager = actor_of(make_staff("manager"))
    place.book(
        schedule_id=full.session, profile_id=full.families[0].profile_ids[0], actor=manager, override_reason="补位"
    )
    assert full.statuses[0] == "confirmed"
    assert full.reasons[0] == "booked"
    assert advance.due() == [full.session]
    full.advance()
    assert full.live == [(1, "exclusive")]


# ── trials ──────────────────────────────────────────────────────────────────────────────────────────


def trial(waiting: int) -> tuple[Full, str]:
    """A full trial class: one seat held for an unpaid order."""
    full = Full(trial=True)
    family = make_family()
    order = checkout.create(schedule_id=full.session, profile_id=family.profile_ids[0], actor=parent_actor(family))
    for _ in range(waiting):
        full.wait()
    return full, order.order_id


def test_a_trials_confirmation_is_an_order_with_its_hold():
    full, order_id = trial(2)
    ending.end(order_id=order_id, event=Event.CANCEL, closing=False, actor=SYSTEM)
    full.advance()
    assert full.seats == (0, 0, 1)
    done = full.confirm(0)
    assert done.booking_id is None
    assert done.order_id
    assert full.seats == (0, 1, 0)
    assert full.releases == [("filled", "confirmed")]
    assert full.confirm(0) == done
    # Unpaid, its seat goes round again.
    with later(minutes=15):
        assert full.seats == (0, 1, 0)
        card = catalog.session_card(full.session)
        assert (card.held, card.kept, card.available) == (0, 1, 0)
        assert full.session in advance.due()
        full.advance()
        assert full.releases[1] == ("kept", None)
        assert full.live == [(1, "open")]


def test_a_lapsed_hold_nobody_waits_for_is_on_sale():
    full, _ = trial(0)
    with later(minutes=15):
        assert catalog.session_card(full.session).available == 1
        with pytest.raises(SeatAvailable):
            full.wait()


def test_one_with_a_trial_order_may_not_wait_for_another_and_consent_does_not_pay_it():
    full, order_id = trial(0)
    family = make_family()
    checkout.create(
        schedule_id=make_session(make_course("体验", type_code="trial", is_trial=True)),
        profile_id=family.profile_ids[0], actor=parent_actor(family),
    )  # fmt: skip
    with pytest.raises(TrialAlreadyBooked):
        wait(full, family)
    entry = full.wait(auto=True)
    assert queries.entry(entry).auto_accept is False
    ending.end(order_id=order_id, event=Event.CANCEL, closing=False, actor=SYSTEM)
    full.advance()
    # Ordered another trial since the offer: refused, and the offer stands.
    checkout.create(
        schedule_id=make_session(make_course("体验", type_code="trial", is_trial=True)),
        profile_id=full.families[0].profile_ids[0], actor=parent_actor(full.families[0]),
    )  # fmt: skip
    with pytest.raises(TrialAlreadyBooked):
        full.confirm(0)
    assert full.live == [(0, "open")]


# ── the session changes ─────────────────────────────────────────────────────────────────────────────


def edit(full: Full, **changed):
    now = db.session.get(CourseSchedule, full.session, populate_existing=True)
    asked = {name: getattr(now, name) for name in
             ("version", "coach_id", "venue_id", "starts_at", "capacity", "waitlist_capacity")}  # fmt: skip
    db.session.rollback()
    edit_session.edit_session(schedule_id=full.session, actor=actor_of(make_staff("manager")), **asked | changed)


def test_more_capacity_is_for_those_who_wait():
    full = Full(waiting=2)
    edit(full, capacity=4)
    assert full.seats == (1, 0, 2)
    assert full.releases == [("kept", None), ("kept", None), ("returned", "no_waiters")]
    full.advance()
    assert len(full.live) == 2


def test_a_moved_session_takes_its_deadlines_along():
    full = Full(waiting=1)
    full.free()
    edit(full, starts_at=clock.now() + timedelta(hours=6, minutes=5))
    assert full.deadline <= clock.now() + timedelta(minutes=5)
    with later(minutes=5), pytest.raises(OfferExpired):
        full.confirm(0)


def test_a_cancelled_session_ends_every_wait_and_tells_once():
    full = Full(capacity=2, waiting=2)
    full.free()
    manager = actor_of(make_staff("manager"))
    for _ in range(2):
        cancel_session.cancel_session(schedule_id=full.session, reason="教练生病", actor=manager)
    assert full.statuses == ["expired", "expired"]
    assert full.reasons == ["session_cancelled", "session_cancelled"]
    assert full.releases == [("returned", "session_cancelled")]
    assert full.seats == (0, 0, 0)
    told = db.session.scalars(
        sa.select(Notification.text).where(
            Notification.family_id == full.families[0].id, Notification.type == "class_cancelled"
        )
    ).all()
    assert len(told) == 1
    assert "您的候补已结束" in told[0]
    with pytest.raises(NoOffer):
        full.confirm(0)


def test_a_merge_and_a_move_take_the_waits_along():
    full, into = Full(waiting=2), make_family()
    manager = actor_of(make_staff("manager"))
    families.merge_families(from_family_id=full.families[0].id, into_family_id=into.id, reason="同一家", actor=manager)
    families.move_profile(
        profile_id=full.families[1].profile_ids[0], from_family_id=full.families[1].id, to_family_id=into.id,
        reason="转家庭", actor=manager,
    )  # fmt: skip
    assert {one.id for one in queries.of_family(into.id, live_only=True)} == set(full.entries)
    full.free()
    answer.confirm(entry_id=full.entries[1], actor=parent_actor(into))
    assert full.statuses == ["waiting", "confirmed"]
