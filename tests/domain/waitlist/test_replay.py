"""The replay against history that the live engine made, and against queues counted by hand (Q20)."""

from __future__ import annotations

import functools
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from app import clock
from app.db import transaction
from app.domain.catalog import courses as course_types
from app.domain.catalog.models import CourseType
from app.domain.changes.cancel_session import cancel_session
from app.domain.offers import staff as by_staff
from app.domain.policy import changes
from app.domain.reports import waitlist_replay
from app.domain.waitlist import engine, history, replay
from app.domain.waitlist.models import SeatRelease, WaitlistEntry
from app.domain.waitlist.replay_facts import History, Outcome, Person, Said
from tests.domain.waitlist import weeks
from tests.domain.waitlist.weeks import DAY, HOUR, MINUTE, World
from tests.factories import make_course
from tests.portal import actor_of, make_staff

SINCE = datetime(2026, 11, 2, 0, 0, tzinfo=UTC)

# ── history made by the live engine ─────────────────────────────────────────────────────────────────


def disturb(world: World, sessions: list[int]) -> None:
    """Rules that change on the way, entries that staff move, classes that are cancelled."""
    manager = actor_of(make_staff("manager"))

    def change_policy() -> None:
        for one in CourseType.query.all():
            course_types.update_course_type(
                course_type_id=one.id, name=one.name, waitlist_capacity=one.waitlist_capacity,
                waitlist_policy="sequential", actor=manager,
            )  # fmt: skip

    def move(session: int) -> None:
        waiting = WaitlistEntry.query.filter_by(course_schedule_id=session)
        last = waiting.filter(WaitlistEntry.live_profile_id.isnot(None)).order_by(WaitlistEntry.id.desc()).first()
        if last is not None:
            by_staff.move(entry_id=last.id, position=1, reason="家长有急事", actor=manager)
            world.look(session)

    window = functools.partial(changes.set_by_command, name="waitlist_window", value="30m", who="test")
    world.at(SINCE + 1.5 * DAY, window)
    world.at(SINCE + 2.5 * DAY, change_policy)
    for session in sessions[::3]:
        world.at(SINCE + world.random.random() * 3 * DAY, move, session)
    world.at(SINCE + 2 * DAY, lambda: cancel_session(schedule_id=sessions[-1], reason="停电", actor=manager))


@pytest.mark.parametrize(("policy", "quiet", "seed"), [
    ("open_then_sequential", "off", 1), ("sequential", "off", 6), ("auto_promote", "21:30-08:00", 11),
])  # fmt: skip
def test_under_the_rules_of_then_it_is_history(app, policy, quiet, seed):
    with clock.travel(to=SINCE - 10 * DAY):
        courses = [make_course("甲"), make_course("乙", type_code="vip")]
        with transaction():
            CourseType.query.update({"waitlist_policy": policy})
        changes.set_by_command(name="waitlist_quiet_hours", value=quiet, who="test")
    weeks.live(since=SINCE, days=4, courses=courses, per_day=3, seed=seed, also=disturb)
    read = history.read(SINCE + 6 * DAY)
    assert (read.by_hand, read.open) == (0, 0)
    ends = Counter()
    for one in read.histories:
        for was, again in zip(one.outcomes, replay.as_it_was(one), strict=True):
            assert again.same_as(was), (one.schedule_id, was, again)
            ends[was.status] += 1
    assert min(ends["filled"], ends["returned"]) >= 3, ends
    # By the clock instead of the moments at which the job came, it differs by no more than the job's lateness.
    found = waitlist_replay.compare(policy=None, window=None, now=SINCE + 6 * DAY)
    assert found.agreed == found.was.seats == sum(ends.values())
    other = waitlist_replay.compare(policy=None, window=10, now=SINCE + 6 * DAY)
    for one in other.changes:
        assert (one.was.status, one.was.entry_id) != (one.would_be.status, one.would_be.entry_id)
    assert other.would_be.seats == found.was.seats


def test_two_months_of_other_rules_in_seconds(app):
    with clock.travel(to=SINCE - 10 * DAY):
        course = make_course("甲")
    weeks.live(since=SINCE, days=3, courses=[course], per_day=3)
    [*some] = history.read(SINCE + 5 * DAY).histories
    began = time.monotonic()
    for _ in range(100):
        for one in some:
            replay.under(one, policy="sequential", window=60 * MINUTE)
    assert time.monotonic() - began < 5


def test_what_staff_did_by_hand_and_what_is_not_over_is_left_out(app):
    skipped: set[int] = set()

    def skip(world: World, sessions: list[int], manager) -> None:
        offered = WaitlistEntry.query.filter(
            WaitlistEntry.status == "offered", WaitlistEntry.course_schedule_id.not_in(skipped)
        )
        entry = offered.first()
        if entry is not None and len(skipped) < 2:
            session = entry.course_schedule_id
            by_staff.skip(entry_id=entry.id, reason="家长来电", actor=manager)
            skipped.add(session)
            world.look(session)

    def by_hand(world: World, sessions: list[int]) -> None:
        manager = actor_of(make_staff("manager"))
        for tens in range(6 * 60):
            world.at(SINCE - 2 * DAY + tens * 10 * MINUTE, skip, world, sessions, manager)

    with clock.travel(to=SINCE - 10 * DAY):
        course = make_course("甲")
    weeks.live(since=SINCE, days=2, courses=[course], per_day=3, also=by_hand)
    read = history.read(SINCE + 4 * DAY)
    assert read.by_hand == len(skipped) > 0
    assert skipped.isdisjoint(one.schedule_id for one in read.histories)
    assert history.read(SINCE + 61 * DAY + 12 * HOUR).histories == []
    with transaction():
        last = SeatRelease.query.filter(SeatRelease.course_schedule_id == read.histories[0].schedule_id).first()
        last.status, last.ended_at, last.entry_id = "kept", None, None
    assert history.read(SINCE + 4 * DAY).open == 1


# ── queues counted by hand ──────────────────────────────────────────────────────────────────────────

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
CUTOFF = NOON + 10 * HOUR


def queue(*people: Person, policy: str = "open_then_sequential", seats: int = 1, window: int = 15, **more) -> History:
    """One seat (or more) free at noon, for people who joined before in this order."""
    terms = engine.Terms(policy, window * MINUTE, CUTOFF)
    outcomes = tuple(Outcome(seat, NOON, "returned", "cutoff", CUTOFF) for seat in range(1, seats + 1))
    return History(1, ((NOON - DAY, terms),), 5 * MINUTE, people, outcomes, **more)


def person(number: int, *said: Said, **more) -> Person:
    return Person(number, NOON - DAY + number * MINUTE, said=said, **more)


def yes(minutes: float, **more) -> Said:
    return Said("confirm", minutes * MINUTE, **more)


def no(minutes: float) -> Said:
    return Said("decline", minutes * MINUTE)


SILENT = Said()


def ends(outcomes: list[Outcome]) -> list[tuple]:
    """Who has each seat, or why nobody, and after how many minutes."""
    return [(one.entry_id or one.reason, one.seconds / 60) for one in outcomes]


def test_the_first_to_answer_has_it_when_all_are_asked_and_the_first_in_line_when_one_is():
    past = queue(person(1, yes(9)), person(2, yes(4)))
    assert ends(replay.under(past)) == [(2, 4)]
    assert ends(replay.under(past, policy="sequential")) == [(1, 9)]
    assert ends(replay.under(past, policy="auto_promote")) == [(1, 9)]


def test_who_never_got_an_offer_does_not_answer_one():
    past = queue(person(1), person(2, yes(4)))
    assert ends(replay.under(past, policy="sequential")) == [(2, 19)]
    assert ends(replay.under(past, policy="sequential", window=40 * MINUTE)) == [(2, 44)]
    assert ends(replay.under(queue(person(1), person(2)))) == [("no_waiters", 45)]


def test_a_longer_window_waits_for_a_late_answer():
    past = queue(person(1, yes(25)), person(2, SILENT))
    assert ends(replay.under(past)) == [("no_waiters", 45)]
    assert ends(replay.under(past, window=30 * MINUTE)) == [(1, 25)]
    # at the deadline is too late
    assert ends(replay.under(past, window=25 * MINUTE)) == [("no_waiters", 75)]


def test_offers_are_met_in_the_order_of_history():
    past = queue(person(1, SILENT, yes(3)), person(2, SILENT, SILENT))
    assert ends(replay.under(past)) == [(1, 18)]
    assert ends(replay.under(past, policy="sequential")) == [("no_waiters", 30)]


def test_a_decline_passes_the_seat_on_at_once():
    past = queue(person(1, no(2)), person(2, yes(4)), policy="sequential")
    assert ends(replay.under(past)) == [(2, 6)]


def test_an_offer_that_was_cut_short_is_met_as_another_one_was():
    late = Said(cut_short=True, lasted=4 * MINUTE)
    past = queue(person(1, late, yes(9)), person(2, yes(4)))
    assert ends(replay.under(past)) == [(2, 4)]
    assert ends(replay.under(past, policy="sequential")) == [(1, 9)]
    # had they been as quick as that, they would have answered then
    quick = queue(person(1, late, yes(3)), person(2, yes(4)))
    assert ends(replay.under(quick, policy="sequential")) == [(2, 19)]


def test_who_began_in_time_may_finish():
    begun = yes(18, begun_after=14 * MINUTE)
    past = queue(person(1, begun), person(2, SILENT))
    assert ends(replay.under(past)) == [(1, 18)]
    assert ends(replay.under(past, window=12 * MINUTE)) == [("no_waiters", 36)]
    # twice begun, twice not finished: a window and a grace each
    assert ends(replay.under(queue(person(1, yes(20, begun_after=14 * MINUTE))))) == [("no_waiters", 38)]


def test_consent_and_who_could_not():
    agreed = {"consents": ((NOON - DAY, True),)}
    past = queue(person(1), person(2, **agreed), person(3, **agreed))
    assert ends(replay.under(past)) == [(2, 0)]
    assert ends(replay.under(past, policy="sequential")) == [(2, 15)]
    poor = {"refusals": ((NOON, "ARREARS_BLOCKED"),)}
    past = queue(person(1, **poor), person(2, **agreed, **poor), person(3, **agreed))
    assert ends(replay.under(past)) == [(3, 0)]
    assert ends(replay.under(queue(person(1, **poor)))) == [("all_skipped", 0)]


def test_more_seats_than_people_and_the_cutoff():
    past = queue(person(1, SILENT, SILENT), person(2, yes(5)), seats=3)
    assert ends(replay.under(past)) == [(2, 5), ("no_waiters", 30), ("no_waiters", 0)]
    assert ends(replay.under(past, window=60 * MINUTE)) == [(2, 5), ("no_waiters", 120), ("no_waiters", 0)]
    last = queue(person(1, SILENT, yes(30)), window=400)
    assert ends(replay.under(last)) == [(1, 430)]
    assert ends(replay.under(queue(person(1, SILENT, yes(300)), window=400))) == [("cutoff", 600)]


def test_messages_that_came_late_and_classes_that_were_cancelled():
    past = queue(person(1, yes(17)), taken={NOON: NOON + 4 * MINUTE})
    assert ends(replay.under(past)) == [(1, 17)]
    assert ends(replay.under(queue(person(1, yes(17))))) == [("no_waiters", 30)]
    assert ends(replay.under(queue(person(1, yes(17)), cancelled_at=NOON + MINUTE))) == [("session_cancelled", 1)]


def test_who_left_and_whom_staff_moved():
    past = queue(person(1, yes(1), left_at=NOON - HOUR), person(2, yes(9)), person(3, yes(2)), policy="sequential")
    assert ends(replay.under(past)) == [(2, 9)]
    moved = queue(*past.people, policy="sequential", moves=((NOON - MINUTE, 3, 1),))
    assert ends(replay.under(moved)) == [(3, 2)]
