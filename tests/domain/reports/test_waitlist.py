"""The waitlist's figures, promises and advice against data counted by hand (Q20, Q25)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.catalog.models import CourseType
from app.domain.outbox.models import Notification
from app.domain.policy import changes
from app.domain.policy.past import Past
from app.domain.reports import waitlist as figures
from app.domain.reports import waitlist_alarm
from app.domain.reports import waitlist_capacity as capacity
from app.domain.reports import waitlist_checks as checks
from app.domain.reports.payments import Span
from app.domain.reports.waitlist import Figure
from app.domain.reports.waitlist_capacity import Freed, Wait
from app.domain.retention import cleanup
from app.domain.waitlist.models import WaitlistEntry, WaitlistOffer
from tests.domain.offers.steps import Full
from tests.domain.waitlist.counted import begin, entry, follow_up, message, offer, release
from tests.factories import make_course, make_session
from tests.portal import make_staff

pytestmark = pytest.mark.usefixtures("app")

#: Wednesday noon in the studio
NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)
DAY, HOUR, MINUTE, SECOND = (timedelta(**{unit: 1}) for unit in ("days", "hours", "minutes", "seconds"))
#: Monday 9 November to Sunday 22 November
SPAN = Span(date(2026, 11, 9), date(2026, 11, 22))


@pytest.fixture(autouse=True)
def noon(app):
    with clock.travel(to=NOW):
        yield


def filled(session: int, *, freed: datetime, after: timedelta, reason: str = "confirmed") -> int:
    who = entry(session, joined=freed - HOUR, status="confirmed", ended=freed + after, reason="confirmed")
    return release(session, freed=freed, status="filled", ended=freed + after, reason=reason, entry=who)


def returned(session: int, *, freed: datetime, reason: str) -> int:
    return release(session, freed=freed, status="returned", ended=freed + HOUR, reason=reason)


# ── figures ─────────────────────────────────────────────────────────────────────────────────────────


def test_seats_by_type_and_week_and_the_rows_behind_each():
    regular, trial = make_course(type_code="regular"), make_course(type_code="trial", is_trial=True)
    one, other = make_session(regular), make_session(trial)
    last_week = NOW - 7 * DAY
    fills = [filled(one, freed=last_week, after=after * MINUTE) for after in (2, 10, 4)]
    lost = returned(one, freed=last_week, reason="cutoff")
    back = [returned(one, freed=NOW - DAY, reason=why) for why in ("no_waiters", "all_skipped")]
    kept = release(one, freed=NOW - HOUR)
    elsewhere = filled(other, freed=NOW - DAY, after=30 * MINUTE, reason="promoted")
    found = figures.table(SPAN)
    assert found.total.counts | {"offers": 0} == {
        "freed": 8, "filled": 4, "lost": 1, "returned": 2, "kept": 1, "offers": 0, "booked": 0, "expired": 0, "idle": 0,
    }  # fmt: skip
    assert found.total.seconds == [120, 240, 600, 1800]
    assert (found.total.median, found.total.p90) == (240, 1800)
    assert (found.total.fill_rate, found.total.lost_rate) == (Decimal(4) / 7, Decimal(1) / 7)
    assert [(name, line.counts["filled"]) for _, name, line in found.types] == [("regular课", 3), ("trial课", 1)]
    assert [(week, line.counts["freed"]) for week, line in found.weeks] == [
        (date(2026, 11, 16), 4), (date(2026, 11, 9), 4),
    ]  # fmt: skip
    assert [line.median for _, line in found.weeks] == [1800, 240]

    def ids(figure, **more):
        return sorted(row.id for row in figures.behind(figure, SPAN, **more))

    assert ids(Figure.FILLED) == sorted([*fills, elsewhere])
    assert ids(Figure.LOST) == [lost]
    assert ids(Figure.RETURNED) == sorted(back)
    assert ids(Figure.KEPT) == [kept]
    assert ids(Figure.FREED) == sorted([*fills, lost, *back, kept, elsewhere])
    only = found.types[0][0]
    assert ids(Figure.FILLED, type_id=only) == sorted(fills)
    assert figures.table(SPAN, only).total.counts["freed"] == 7
    [row] = figures.behind(Figure.LOST, SPAN)
    assert (row.note, row.seconds, row.student, row.schedule_id) == ("cutoff", 3600, None, one)
    row = figures.behind(Figure.FILLED, SPAN)[0]
    assert (row.note, row.seconds, row.student, row.family_name) == ("promoted", 1800, "张小明", "张女士家庭")


def test_every_figure_has_as_many_rows_behind_it_as_it_counts():
    session = make_session()
    first = entry(session, joined=NOW - DAY, status="expired", ended=NOW, reason="lapsed")
    offer(session, first, at=NOW - HOUR, status="lapsed")
    entry(session, joined=NOW - DAY, status="expired", ended=NOW, reason="cutoff")
    entry(session, joined=NOW - DAY, status="cancelled", ended=NOW, reason="left")
    filled(session, freed=NOW - DAY, after=MINUTE)
    returned(session, freed=NOW, reason="cutoff")
    counts = figures.table(SPAN).total.counts
    assert (counts["expired"], counts["idle"]) == (2, 1)
    for figure in Figure:
        assert counts[figure] == len(figures.behind(figure, SPAN)), figure


def test_who_was_offered_a_seat_stays_so_when_the_offer_is_forgotten():
    queue = Full(waiting=2)
    queue.free()
    ended = {"status": "expired", "ended_at": NOW, "end_reason": "cutoff"}
    with transaction():
        db.session.execute(sa.update(WaitlistOffer).values(status="lapsed", ended_at=NOW))
        db.session.execute(sa.update(WaitlistEntry).values(**ended))
    never = entry(queue.session, joined=NOW - DAY, status="expired", ended=NOW, reason="cutoff")
    for days, offers in ((0, 2), (200, 0)):
        with clock.travel(by=timedelta(days=days)):
            cleanup.run(system("test"))
            assert figures.offers_kept_since() == clock.today() - timedelta(days=89)
        assert db.session.query(WaitlistOffer).count() == offers
        assert [row.id for row in figures.behind(Figure.IDLE, SPAN)] == [never]
        assert figures.table(SPAN).total.counts[Figure.IDLE] == 1
        [course_type] = capacity._waits(NOW - 2 * DAY).values()
        assert [wait.id for wait in course_type[queue.session] if wait.idle] == [never]


def test_offers_and_the_bookings_they_became():
    session = make_session()
    for number, status in enumerate(("confirmed", "taken", "lapsed", "declined", "live")):
        one = entry(session, joined=NOW - DAY)
        answer = {"confirmed": "confirm", "declined": "decline"}.get(status)
        offer(session, one, at=NOW - number * HOUR, status=status, answer=answer, after=MINUTE)
    total = figures.table(SPAN).total
    assert (total.counts["offers"], total.counts["booked"], total.conversion) == (5, 1, Decimal(1) / 5)
    [row] = figures.behind(Figure.BOOKED, SPAN)
    assert (row.status, row.note, row.seconds, row.student) == ("confirmed", None, 60, "张小明")


def test_a_week_begins_on_the_studios_monday():
    session = make_session()
    midnight = clock.day_bounds(date(2026, 11, 16))[0]
    before, after = release(session, freed=midnight - SECOND / 1000), release(session, freed=midnight)
    weeks = dict(figures.table(SPAN).weeks)
    assert weeks[date(2026, 11, 9)].counts["freed"] == weeks[date(2026, 11, 16)].counts["freed"] == 1
    one_day = Span(date(2026, 11, 16), date(2026, 11, 16))
    assert [row.id for row in figures.behind(Figure.FREED, one_day)] == [after]
    assert [row.id for row in figures.behind(Figure.FREED, Span(SPAN.first, date(2026, 11, 15)))] == [before]


@pytest.mark.parametrize(("first", "last", "mondays"), [
    ("2026-11-16", "2026-11-22", ["2026-11-16"]),
    ("2026-11-15", "2026-11-16", ["2026-11-16", "2026-11-09"]),
    ("2026-11-18", "2026-11-18", ["2026-11-16"]),
    ("2026-11-02", "2026-11-17", ["2026-11-16", "2026-11-09", "2026-11-02"]),
])  # fmt: skip
def test_the_weeks_of_a_span(first, last, mondays):
    span = Span(date.fromisoformat(first), date.fromisoformat(last))
    assert [week.isoformat() for week in figures.weeks_of(span)] == mondays


def test_nothing_is_no_figure():
    total = figures.table(SPAN).total
    assert (total.conversion, total.fill_rate, total.lost_rate, total.median, total.p90) == (None,) * 5
    assert figures.types() == []


# ── promises ────────────────────────────────────────────────────────────────────────────────────────


def told(session: int, *, at: datetime = NOW - HOUR, after: timedelta | None, **more) -> int:
    one = entry(session, joined=at - DAY)
    made = offer(session, one, at=at, status="lapsed")
    message(one, made, at=at, sent_after=after, **more)
    return made


def test_an_offer_is_told_when_a_message_of_it_was_taken_within_ten_seconds():
    session = make_session()
    told(session, after=10 * SECOND)
    told(session, after=SECOND, channel="in_app")
    told(session, after=11 * SECOND)
    told(session, after=None)
    offer(session, entry(session, joined=NOW - DAY), at=NOW - HOUR, status="lapsed")
    found = checks.notices(SPAN)
    assert (found.kept, len(found.promises), found.rate, found.alarm) == (2, 5, Decimal(2) / 5, True)
    assert {one.done_at and one.done_at - one.at for one in found.broken} == {11 * SECOND, None}


def test_what_wechat_refused_is_told_by_the_mini_program():
    session = make_session()
    one = entry(session, joined=NOW - DAY)
    made = offer(session, one, at=NOW - HOUR, status="lapsed")
    refused = message(one, made, at=NOW - HOUR, sent_after=None)
    follow_up(refused, at=NOW - HOUR + 4 * SECOND)
    assert checks.notices(SPAN).rate == 1


def test_offers_that_needed_no_message_and_those_of_this_moment_are_not_judged():
    session = make_session()
    offer(session, entry(session, joined=NOW - DAY), at=NOW - HOUR, status="taken", after=3 * SECOND)
    offer(session, entry(session, joined=NOW - DAY), at=NOW - 9 * SECOND)
    assert checks.notices(SPAN).promises == []
    again = entry(session, joined=NOW - DAY)
    made = offer(session, again, at=NOW - HOUR, status="lapsed")
    message(again, made, at=NOW - HOUR, sent_after=SECOND, resent_by=make_staff().id)
    assert checks.notices(SPAN).rate == 0


def at_cutoff(session: int, cutoff: datetime, after: timedelta | None) -> int:
    ended = None if after is None else cutoff + after
    return entry(session, joined=cutoff - DAY, status="waiting" if after is None else "expired", ended=ended,
                 reason=None if after is None else "cutoff")  # fmt: skip


def test_a_queue_is_closed_when_all_who_waited_ended_within_ten_seconds():
    cutoff = NOW - 2 * HOUR
    exact, slow, stuck, left = (make_session(starts_at=cutoff + 6 * HOUR) for _ in range(4))
    at_cutoff(exact, cutoff, SECOND)
    at_cutoff(exact, cutoff, 10 * SECOND)
    at_cutoff(slow, cutoff, SECOND)
    at_cutoff(slow, cutoff, 11 * SECOND)
    at_cutoff(stuck, cutoff, None)
    entry(left, joined=cutoff - DAY, status="cancelled", ended=cutoff - SECOND, reason="left")
    found = checks.cutoffs(SPAN)
    assert {one.schedule_id: one.kept for one in found.promises} == {exact: True, slow: False, stuck: False}
    assert (found.rate, found.alarm) == (Decimal(1) / 3, True)
    assert {one.at for one in found.promises} == {cutoff}


def test_a_round_after_the_cutoff_breaks_it_and_a_grace_does_not():
    cutoff = NOW - 2 * HOUR
    late, begun = (make_session(starts_at=cutoff + 6 * HOUR) for _ in range(2))
    one = at_cutoff(late, cutoff, SECOND)
    offer(late, one, at=cutoff, status="lapsed")
    one = at_cutoff(begun, cutoff, 4 * MINUTE)
    made = offer(begun, one, at=cutoff - 10 * MINUTE, status="lapsed")
    begin(made, at=cutoff - MINUTE)
    assert {one.schedule_id: one.kept for one in checks.cutoffs(SPAN).promises} == {late: False, begun: True}


def test_a_cutoff_is_judged_by_the_rule_of_its_time():
    old = NOW - 3 * DAY
    session = make_session(starts_at=old + 6 * HOUR)
    at_cutoff(session, old, SECOND)
    with clock.travel(to=NOW - DAY):
        changes.set_by_command(name="waitlist_cutoff", value="2h", who="test")
    new = make_session(starts_at=NOW - HOUR + 2 * HOUR)
    at_cutoff(new, NOW - HOUR, SECOND)
    found = checks.cutoffs(SPAN)
    assert [(one.at, one.kept) for one in found.promises] == [(NOW - HOUR, True), (old, True)]


def test_a_figure_of_the_past():
    for day, value in ((3, "20m"), (2, "30m"), (1, "10m")):
        with clock.travel(to=NOW - day * DAY):
            changes.set_by_command(name="waitlist_window", value=value, who="test")
    past = Past("waitlist_window", "waitlist_cutoff")
    read = [past.text("waitlist_window", NOW - days * DAY) for days in (4, 3, 2.5, 2, 1, 0)]
    assert read == ["15m", "20m", "20m", "30m", "10m", "10m"]
    assert past.get("waitlist_cutoff", NOW - 400 * DAY) == 6 * HOUR


# ── advice on capacity ──────────────────────────────────────────────────────────────────────────────


def waits(*spans: tuple[int, int | None], idle: tuple[int, ...] = ()) -> list[Wait]:
    """Waits numbered from 1 that joined and ended so many minutes in."""
    return [
        Wait(number, NOW + joined * MINUTE, None if ended is None else NOW + ended * MINUTE, number in idle)
        for number, (joined, ended) in enumerate(spans, 1)
    ]


def test_a_shorter_queue_lets_in_whom_it_has_a_place_for():
    # 1 waits all along, 2 leaves before 4 comes, 3 comes while both wait
    queue = waits((0, None), (1, 10), (2, None), (11, None), idle=(1, 3))
    found = capacity.advice(1, "正式课", 8, [queue], [Freed(4, False), Freed(1, False)])
    assert [(one.places, one.filled, one.idle, one.turned_away) for one in found.lengths] == [
        (1, 1, 1, 3), (2, 2, 1, 1), (3, 2, 2, 0),
    ]  # fmt: skip
    assert (found.best.places, found.n, found.idle) == (2, 2, 2)
    assert not found.enough
    assert found.now.places == 3


def test_the_shortest_that_loses_one_seat_in_twenty():
    queues = [waits(*[(minute, None) for minute in range(4)]) for _ in range(20)]
    queues = [[Wait(one.id + 100 * n, one.joined_at, None, False) for one in q] for n, q in enumerate(queues)]
    # nineteen seats went to the second in line, one to the fourth
    freed = [Freed(2 + 100 * n, False) for n in range(19)] + [Freed(4 + 1900, False)]
    found = capacity.advice(1, "正式课", 8, queues, freed)
    assert (found.best.places, found.share(found.best), found.enough) == (2, Decimal("0.95"), True)
    assert found.lengths[-1].filled == 20


def test_seats_lost_while_the_queue_was_full_speak_for_a_longer_one():
    queue = waits((0, None), (1, None))
    found = capacity.advice(1, "正式课", 2, [queue], [Freed(1, False), Freed(None, True), Freed(None, False)])
    assert (found.n, found.unwanted, found.best) == (2, 1, None)


def test_the_advice_from_rows():
    course = make_course()
    full, spare = make_session(course, waitlist_capacity=1), make_session(course)
    filled(full, freed=NOW - DAY, after=MINUTE)
    entry(full, joined=NOW - DAY - 2 * HOUR, status="expired", ended=NOW, reason="cutoff")
    returned(full, freed=NOW - DAY, reason="all_skipped")
    returned(spare, freed=NOW - DAY, reason="no_waiters")
    returned(spare, freed=NOW - DAY, reason="session_cancelled")
    returned(spare, freed=NOW - 91 * DAY, reason="cutoff")
    release(spare, freed=NOW)
    entry(spare, joined=NOW - 91 * DAY, status="expired", ended=NOW - 91 * DAY + HOUR, reason="cutoff")
    entry(spare, joined=NOW - DAY, status="cancelled", ended=NOW, reason="left")
    with transaction():
        type_id = CourseType.query.filter_by(code="regular").one().id
    [found] = capacity.advise()
    assert (found.type_id, found.current, found.n, found.unwanted, found.idle) == (type_id, 8, 2, 1, 1)
    assert [(one.places, one.filled, one.idle) for one in found.lengths] == [(1, 0, 1), (2, 1, 1)]
    assert found.best is None


# ── the alarm ───────────────────────────────────────────────────────────────────────────────────────


def test_staff_hear_once_of_a_day_on_which_a_promise_was_broken():
    session, yesterday = make_session(), NOW - DAY
    for after in (SECOND, 20 * SECOND):
        one = entry(session, joined=yesterday - DAY)
        made = offer(session, one, at=yesterday, status="lapsed")
        message(one, made, at=yesterday, sent_after=after)
    for _ in range(2):
        assert waitlist_alarm.tell() == ["notices"]
    cards = db.session.query(Notification).filter_by(type="staff.waitlist_promises").all()
    assert len(cards) == 1
    assert "1/2（50%，目标 95%）" in cards[0].text


def test_a_good_day_and_an_empty_one_are_quiet():
    assert waitlist_alarm.tell() == []
    assert db.session.query(Notification).count() == 0
