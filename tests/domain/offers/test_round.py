"""A freed seat goes round: open, then one by one, until it is taken, the queue is empty, or the cutoff comes."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.bookings import errors, place
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger.models import Wallet
from app.domain.waitlist import queries
from app.domain.waitlist.errors import NoOffer, OfferExpired, SeatTaken, WaitlistClosed
from app.domain.waitlist.models import WaitlistNotification
from app.errors import InvalidState
from tests.domain.offers.steps import Full, cards, later
from tests.factories import make_family, make_session, parent_actor


@pytest.fixture(autouse=True)
def stand_still(app):
    with clock.travel(to=clock.day_bounds(clock.today() + timedelta(days=1))[0] + timedelta(hours=10)):
        yield


@contextmanager
def tick(full: Full, **by):
    """The clock goes on and the job runs."""
    with later(**by):
        full.advance()
        yield


def test_everybody_is_asked_at_once_and_the_first_has_it():
    full = Full(waiting=3)
    full.free()
    assert full.live == [(0, "open"), (1, "open"), (2, "open")]
    assert full.seats == (0, 0, 1)
    assert [full.told(n) for n in range(3)] == [["waitlist_offer"]] * 3
    done = full.confirm(1)
    assert done.booking_id is not None
    assert full.statuses == ["waiting", "confirmed", "waiting"]
    assert full.seats == (1, 0, 0)
    assert full.releases == [("filled", "confirmed")]
    assert [full.told(n)[1:] for n in range(3)] == [["seat_taken"], [], ["seat_taken"]]
    assert db.session.get(Wallet, full.families[1].wallet_id, populate_existing=True).balance == 800
    with pytest.raises(SeatTaken, match="名额已被抢占"):
        full.confirm(0)
    assert full.confirm(1) == done  # again: the same booking
    assert [one.position for one in queries.queue(full.session)] == [1, 2]


def test_nobody_answers_then_one_by_one_then_the_queue_is_empty():
    full = Full(waiting=2)
    full.free()
    with tick(full, minutes=15):
        assert full.statuses == ["offered", "waiting"]
        assert full.live == [(0, "exclusive")]
        with pytest.raises(OfferExpired, match="候补确认已过期，名额已顺位给下一位候补用户"):
            full.confirm(1)
        with tick(full, minutes=15):
            assert full.statuses == ["expired", "offered"]
            assert full.reasons == ["lapsed", None]
            with pytest.raises(OfferExpired, match="顺位给下一位"):
                full.confirm(0)
            full.confirm(1)
            assert full.seats == (1, 0, 0)
            assert full.told(0) == ["waitlist_offer", "waitlist_offer", "waitlist_expired"]


def test_a_sole_waiter_who_sleeps_through_the_open_round_is_asked_alone():
    full = Full(waiting=1)
    full.free()
    with tick(full, minutes=15):
        assert full.live == [(0, "exclusive")]
        with tick(full, minutes=15):
            assert full.statuses == ["expired"]
            assert full.releases == [("returned", "no_waiters")]
            assert full.seats == (0, 0, 0)


@pytest.mark.parametrize("microseconds", [-1, 0, 1])
def test_an_answer_at_the_deadline_is_late(microseconds):
    full = Full(waiting=2)
    full.free()
    with clock.travel(to=full.deadline + timedelta(microseconds=microseconds)):
        if microseconds < 0:
            assert full.confirm(1).booking_id
        else:
            # No job has run: the clock alone refuses, and the reader sees no offer.
            with pytest.raises(OfferExpired):
                full.confirm(1)
            shown = queries.entry(full.entries[1])
            assert (shown.status, shown.offer) == ("waiting", None)


def test_who_began_in_time_may_finish_and_the_seat_waits_for_them():
    full = Full(waiting=2)
    full.free()
    with later(minutes=14):
        full.begin(1)
        full.begin(1)  # twice changes nothing
        with tick(full, minutes=1):
            assert full.statuses == ["waiting", "offered"]
            assert full.live == [(1, "open")]  # nobody new is asked meanwhile
            with clock.travel(to=full.deadline - timedelta(microseconds=1)):
                assert queries.entry(full.entries[1]).offer.decision_seconds_left == 0
                full.confirm(1)
    assert full.flow.count("began") == 1


def test_the_grace_counts_once_and_ends():
    full = Full(waiting=2)
    full.free()
    with later(minutes=14):
        full.begin(1)
        with tick(full, minutes=5):
            with pytest.raises(OfferExpired):
                full.confirm(1)
            with pytest.raises(OfferExpired):
                full.begin(1)
            assert full.live == [(0, "exclusive")]


def test_begin_promises_nothing_in_the_open_round():
    full = Full(waiting=2)
    full.free()
    full.begin(0)
    full.confirm(1)
    with pytest.raises(SeatTaken):
        full.confirm(0)


def test_the_answer_must_be_asked_for():
    full = Full(waiting=1)
    for ask in (full.begin, full.confirm, full.decline):
        with pytest.raises(NoOffer):
            ask(0)
    full.free()
    full.decline(0)
    for ask in (full.begin, full.confirm, full.decline):  # there is nothing left to answer (96.55)
        with pytest.raises(NoOffer):
            ask(0)
    with pytest.raises(InvalidState, match="已放弃"):
        full.leave(0)


def test_who_declines_ends_their_wait_and_the_last_returns_the_seat_at_once():
    full = Full(waiting=2)
    full.free()
    full.decline(0)
    assert full.statuses == ["declined", "offered"]
    assert full.seats == (0, 0, 1)
    full.decline(1)
    assert full.releases == [("returned", "no_waiters")]
    assert full.seats == (0, 0, 0)


def test_leaving_passes_the_exclusive_seat_on_at_once():
    full = Full(waiting=2, policy="sequential")
    full.free()
    assert full.live == [(0, "exclusive")]
    full.leave(0)
    assert full.statuses == ["cancelled", "offered"]
    full.leave(0)  # left is left
    full.leave(1)
    assert full.releases == [("returned", "no_waiters")]


def test_two_seats_in_one_round():
    full = Full(capacity=2, waiting=3)
    full.free(0, move_on=False)
    full.free(1)
    assert len(full.live) == 3
    full.confirm(2)
    assert full.statuses == ["offered", "offered", "confirmed"]
    full.confirm(0)
    assert full.statuses == ["confirmed", "waiting", "confirmed"]
    assert full.told(1) == ["waitlist_offer", "seat_taken"]
    assert full.seats == (2, 0, 0)


def test_a_seat_freed_during_the_open_round_joins_it_with_its_deadline():
    full = Full(capacity=2, waiting=3)
    full.free(0)
    first = full.deadline
    with later(minutes=5):
        full.free(1)
        assert full.deadline == first
        assert len(full.offers) == 3
        full.confirm(0)
        full.confirm(1)
        assert full.seats == (2, 0, 0)


def test_a_seat_freed_during_one_by_one_goes_to_the_next_without_an_offer():
    full = Full(capacity=2, waiting=3)
    full.free(0)
    with tick(full, minutes=15), later(minutes=5):
        full.free(1)
        assert full.live == [(0, "exclusive"), (1, "exclusive")]
        assert full.deadline == clock.now() + timedelta(minutes=15)


def test_more_seats_than_waiters_the_rest_is_on_sale_at_once():
    full = Full(capacity=3, waiting=1)
    for seat in range(3):
        full.free(seat, move_on=False)
    assert full.seats == (0, 0, 1)
    assert full.releases == [("kept", None), ("returned", "no_waiters"), ("returned", "no_waiters")]
    assert place.book(
        schedule_id=full.session, profile_id=(other := make_family(balance="500.00")).profile_ids[0],
        actor=parent_actor(other),
    )  # fmt: skip


def test_when_people_leave_the_seats_that_are_too_many_return():
    full = Full(capacity=2, waiting=2)
    full.free(0)
    full.free(1)
    full.decline(0)
    assert full.releases == [("kept", None), ("returned", "no_waiters")]
    full.confirm(1)
    assert full.seats == (1, 0, 0)


def test_a_kept_seat_is_nobodys_in_free_sale():
    full = Full(waiting=2)
    full.free()
    for family in (full.families[0], make_family(balance="500.00")):
        with pytest.raises(errors.SeatFull) as refusal:
            place.book(schedule_id=full.session, profile_id=family.profile_ids[0], actor=parent_actor(family))
        assert refusal.value.data == {"waitlist_count": 2, "waitlist_capacity": 8}


# ── who cannot take it ──────────────────────────────────────────────────────────────────────────────


def test_the_queue_never_stops_at_its_head():
    full = Full(policy="sequential")
    poor = full.wait(balance="-900.00")
    full.wait()
    full.free()
    assert full.live == [(1, "exclusive")]
    assert queries.entry(poor).skip_reason == "ARREARS_BLOCKED"
    assert full.statuses[0] == "waiting"
    assert "skipped" in full.flow


def test_all_skipped_the_seat_returns():
    full = Full()
    full.wait(balance="-900.00")
    full.wait(balance="-950.00")
    full.free()
    assert full.releases == [("returned", "all_skipped")]
    assert full.statuses == ["waiting", "waiting"]
    assert full.seats == (0, 0, 0)


def test_who_booked_something_else_at_that_time_is_skipped():
    full = Full(waiting=2)
    starts_at = db.session.get(CourseSchedule, full.session).starts_at
    other = make_session(starts_at=starts_at)
    place.book(schedule_id=other, profile_id=full.families[0].profile_ids[0], actor=parent_actor(full.families[0]))
    full.free()
    assert full.live == [(1, "open")]
    assert queries.entry(full.entries[0]).skip_reason == "TIME_CONFLICT"


def test_a_clash_made_after_the_offer_is_refused_and_the_offer_stands():
    full = Full(waiting=1)
    full.free()
    starts_at = db.session.get(CourseSchedule, full.session).starts_at
    place.book(
        schedule_id=make_session(starts_at=starts_at), profile_id=full.families[0].profile_ids[0],
        actor=parent_actor(full.families[0]),
    )  # fmt: skip
    with pytest.raises(errors.TimeConflict):
        full.confirm(0)
    assert full.live == [(0, "open")]
    assert full.seats == (0, 0, 1)


def test_refused_money_leaves_everything_and_the_offer():
    full = Full(waiting=1)
    full.free()
    with transaction():
        wallet = db.session.get(Wallet, full.families[0].wallet_id)
        db.session.execute(
            sa.update(Wallet.__table__).where(Wallet.__table__.c.id == wallet.id).values(status="frozen")
        )
    with pytest.raises(Exception, match="WALLET_FROZEN"):
        full.confirm(0)
    assert (full.live, full.seats, full.statuses) == ([(0, "open")], (0, 0, 1), ["offered"])


# ── consent in advance ──────────────────────────────────────────────────────────────────────────────


def test_the_first_with_consent_is_booked_before_anybody_is_told():
    full = Full(waiting=3, auto=(1, 2))
    full.free()
    assert full.statuses == ["waiting", "confirmed", "waiting"]
    assert full.reasons[1] == "promoted"
    assert [full.told(n) for n in range(3)] == [[], [], []]
    assert full.seats == (1, 0, 0)


def test_one_by_one_consent_counts_only_when_it_is_their_turn():
    full = Full(waiting=2, policy="sequential", auto=(1,))
    full.free()
    assert full.live == [(0, "exclusive")]
    with tick(full, minutes=15):
        assert full.statuses == ["expired", "confirmed"]


def test_auto_promote_never_books_without_consent():
    full = Full(waiting=2, policy="auto_promote")
    full.free()
    assert full.live == [(0, "exclusive")]
    later_on = Full(waiting=3, policy="auto_promote", auto=(2,))
    later_on.free()
    assert later_on.statuses == ["waiting", "waiting", "confirmed"]


def test_consent_given_during_the_round_books_at_once_and_can_be_revoked():
    from app.domain.offers import join

    full = Full(waiting=3)
    full.free()
    who = parent_actor(full.families[2])
    join.change(entry_id=full.entries[2], auto_accept=True, actor=who)
    join.change(entry_id=full.entries[2], auto_accept=False, actor=who)
    assert full.advance() == 0
    join.change(entry_id=full.entries[1], auto_accept=True, actor=parent_actor(full.families[1]))
    assert full.advance() == 1
    assert full.statuses == ["waiting", "confirmed", "waiting"]
    assert full.told(0) == ["waitlist_offer", "seat_taken"]


def test_consent_without_money_is_skipped():
    full = Full()
    full.wait(auto=True, balance="-900.00")
    full.wait(auto=True)
    full.free()
    assert full.statuses == ["waiting", "confirmed"]


# ── the cutoff ──────────────────────────────────────────────────────────────────────────────────────


def test_no_deadline_is_past_the_cutoff_and_then_everything_ends():
    full = Full(waiting=2, starts_in=timedelta(hours=6, minutes=10))
    full.free()
    assert full.deadline == clock.now() + timedelta(minutes=10)
    with clock.travel(to=full.deadline):
        with pytest.raises(OfferExpired):
            full.confirm(0)
        full.advance()
        assert full.statuses == ["expired", "expired"]
        assert full.reasons == ["cutoff", "cutoff"]
        assert full.releases == [("returned", "cutoff")]
        assert full.seats == (0, 0, 0)
        assert full.told(0) == ["waitlist_offer", "waitlist_expired"]
        with pytest.raises(OfferExpired):
            full.confirm(1)


def test_at_the_cutoff_who_never_had_an_offer_hears_that_it_is_closed():
    full = Full(waiting=1, starts_in=timedelta(hours=6, minutes=10))
    with tick(full, minutes=10):
        assert full.statuses == ["expired"]
        with pytest.raises(WaitlistClosed):
            full.confirm(0)
        full.free()
        assert full.releases == []  # nobody waits: it is on sale
        assert full.seats == (0, 0, 0)


def test_who_began_before_the_cutoff_keeps_their_seat_through_their_grace():
    full = Full(capacity=2, waiting=3, starts_in=timedelta(hours=6, minutes=10))
    full.free(0)
    full.free(1)
    with later(minutes=9):
        full.begin(2)
        with tick(full, minutes=1):
            assert full.statuses == ["expired", "expired", "offered"]
            assert sorted(full.releases, key=str) == [("kept", None), ("returned", "cutoff")]
            with later(minutes=1):
                full.confirm(2)
                assert full.seats == (1, 0, 0)


def test_a_grace_that_runs_out_after_the_cutoff_ends_the_wait():
    full = Full(waiting=1, starts_in=timedelta(hours=6, minutes=10))
    full.free()
    with later(minutes=9):
        full.begin(0)
        with tick(full, minutes=5):
            assert full.statuses == ["expired"]
            assert full.releases == [("returned", "cutoff")]


def test_one_by_one_makes_a_final_call_near_the_cutoff():
    full = Full(waiting=3, policy="sequential", starts_in=timedelta(hours=6, minutes=40))
    full.free()
    assert full.live == [(0, "exclusive")]
    with tick(full, minutes=15):
        # 25 minutes are left: less than two windows.
        assert full.statuses[0] == "expired"
        assert full.live == [(1, "open"), (2, "open")]


# ── messages that come late or not at all ───────────────────────────────────────────────────────────


def taken_by_wechat(full: Full, number: int, at) -> None:
    query = sa.select(WaitlistNotification.notification_id).where(WaitlistNotification.entry_id == full.entries[number])
    with transaction():
        db.session.execute(
            sa.text("UPDATE notifications SET status = 'sent', sent_at = :at WHERE id = :id"),
            {"at": at.replace(tzinfo=None), "id": db.session.scalar(query)},
        )


def by_wechat(full: Full) -> None:
    """Every parent allows one message of the kind."""
    from app.domain.outbox import consents

    for family in full.families:
        consents.record(user_id=family.user_id, type="waitlist_offer", accepted=True, actor=parent_actor(family))


@pytest.mark.parametrize(("seconds", "moved"), [(60, False), (61, True), (600, True)])
def test_a_round_that_wechat_took_late_has_its_whole_window_once(seconds, moved):
    full = Full(waiting=2)
    by_wechat(full)
    full.free()
    first, began = full.deadline, clock.now()
    taken = began + timedelta(seconds=seconds)
    with clock.travel(to=taken):
        taken_by_wechat(full, 1, taken)
        full.advance()
        assert full.deadline == (taken + timedelta(minutes=15) if moved else first)
        assert full.flow.count("extended") == moved
        with later(seconds=5):
            full.advance()
            assert full.flow.count("extended") == moved


def test_the_moved_deadline_holds_without_a_job():
    full = Full(waiting=1)
    by_wechat(full)
    full.free()
    taken = clock.now() + timedelta(minutes=14)
    taken_by_wechat(full, 0, taken)
    with later(minutes=16):
        full.confirm(0)
    assert full.seats == (1, 0, 0)


def test_who_cannot_be_reached_is_phoned_once_and_their_window_runs():
    full = Full(waiting=2)
    by_wechat(full)
    with transaction():
        db.session.execute(
            sa.text("UPDATE message_consents SET remaining = 0 WHERE user_id = :id"), {"id": full.families[0].user_id}
        )
    full.free()
    assert cards("staff.waitlist_call") == 1
    full.advance()
    assert cards("staff.waitlist_call") == 1
    with transaction():
        db.session.execute(sa.text("UPDATE notifications SET status = 'failed' WHERE channel = 'wechat'"))
    full.advance()
    assert cards("staff.waitlist_call") == 2
    assert full.flow.count("unreached") == 2
    assert full.deadline == clock.now() + timedelta(minutes=15)
