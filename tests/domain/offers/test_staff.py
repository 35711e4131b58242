"""What staff decide about a queue (Q18): each against its order, with a reason, and nothing else moved by it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.catalog.models import CourseSchedule
from app.domain.ledger.models import Wallet
from app.domain.offers import answer, board, board_figures, join, staff, timeline
from app.domain.outbox import consents
from app.domain.outbox.models import Notification
from app.domain.outbox.resending import NoConsentLeft
from app.domain.reports import waiting
from app.domain.waitlist import queries, ranks
from app.domain.waitlist.errors import EntryNotFound, NoOffer, WaitlistClosed, WaitlistFull
from app.domain.waitlist.models import SeatRelease, WaitlistEntry, WaitlistFlow, WaitlistNotification, WaitlistOffer
from app.errors import Conflict, Forbidden, Invalid, InvalidState
from tests.domain.offers import whole
from tests.domain.offers.steps import Full
from tests.factories import make_family
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def clerk():
    return actor_of(make_staff("front_desk"))


@pytest.fixture(autouse=True)
def every_queue_is_whole(app):
    yield
    for schedule_id in db.session.scalars(sa.select(WaitlistEntry.course_schedule_id).distinct()).all():
        whole.check(schedule_id)


def live(full: Full) -> dict[int, str]:
    """Place in the queue as it was joined → the kind of the live offer."""
    rows = db.session.execute(
        sa.select(WaitlistOffer.entry_id, WaitlistOffer.kind).where(WaitlistOffer.ended_at.is_(None))
    )
    return {full.entries.index(entry): kind for entry, kind in rows}


def order(full: Full) -> list[int]:
    return [full.entries.index(one.id) for one in queries.queue(full.session)]


def told(full: Full, number: int, kind: str) -> int:
    query = sa.select(sa.func.count()).select_from(Notification)
    return db.session.scalar(query.where(Notification.family_id == full.families[number].id, Notification.type == kind))


def kept(full: Full) -> int:
    return db.session.scalar(sa.select(CourseSchedule.kept).where(CourseSchedule.id == full.session))


def steps(step: str) -> list[WaitlistFlow]:
    return list(db.session.scalars(sa.select(WaitlistFlow).where(WaitlistFlow.step == step).order_by(WaitlistFlow.id)))


# ── offer to one ────────────────────────────────────────────────────────────────────────────────────


def test_a_seat_out_of_the_open_round_goes_to_one_alone(clerk):
    full = Full(waiting=3)
    full.free()
    assert live(full) == {0: "open", 1: "open", 2: "open"}
    staff.offer(entry_id=full.entries[2], reason="孩子下月转学", actor=clerk)
    assert live(full) == {2: "exclusive"}
    assert order(full) == [0, 1, 2]
    assert (told(full, 0, "seat_taken"), told(full, 2, "seat_taken")) == (1, 0)
    with pytest.raises(NoOffer):
        full.confirm(0)
    full.confirm(2)
    assert full.statuses == ["waiting", "waiting", "confirmed"]
    (row,) = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "waitlist.offered"))
    assert (row.reason, row.actor_id, row.family_id) == ("孩子下月转学", clerk.id, full.families[2].id)


def test_of_two_seats_in_a_round_one_is_taken_out(clerk):
    full = Full(capacity=2, waiting=3)
    full.free(0, move_on=False)
    full.free(1)
    staff.offer(entry_id=full.entries[2], reason="先答应过", actor=clerk)
    assert live(full) == {0: "open", 1: "open", 2: "exclusive"}
    assert kept(full) == 2
    full.confirm(0)
    full.confirm(2)
    assert full.statuses == ["confirmed", "waiting", "confirmed"]
    assert kept(full) == 0


def test_there_must_be_a_seat_that_nobody_has_for_themselves(clerk):
    full = Full(waiting=2)
    with pytest.raises(staff.NoKeptSeat):
        staff.offer(entry_id=full.entries[1], reason="先答应过", actor=clerk)
    full.free()
    staff.offer(entry_id=full.entries[1], reason="先答应过", actor=clerk)
    with pytest.raises(staff.NoKeptSeat):
        staff.offer(entry_id=full.entries[0], reason="又改主意", actor=clerk)
    with pytest.raises(InvalidState):
        staff.offer(entry_id=full.entries[1], reason="再来一次", actor=clerk)
    assert live(full) == {1: "exclusive"}


def test_a_promise_to_who_began_is_kept(clerk):
    full = Full(waiting=2)
    full.free()
    full.begin(0)
    with pytest.raises(staff.Begun):
        staff.offer(entry_id=full.entries[1], reason="先答应过", actor=clerk)
    with pytest.raises(staff.Begun):
        staff.skip(entry_id=full.entries[0], reason="电话没人接", actor=clerk)
    assert live(full) == {0: "open", 1: "open"}


def test_who_can_take_no_seat_is_not_offered_one(clerk):
    full = Full(waiting=1)
    full.wait(balance="-700.00")
    full.free()
    with pytest.raises(Conflict) as refusal:
        staff.offer(entry_id=full.entries[1], reason="先答应过", actor=clerk)
    assert refusal.value.code == "ARREARS_BLOCKED"
    assert live(full) == {0: "open"}


def test_after_the_cutoff_and_in_the_wrong_hands_nothing_is_offered(clerk):
    full = Full(waiting=1, starts_in=timedelta(hours=8))
    full.free()
    for act in (staff.offer, staff.skip):
        with pytest.raises(Forbidden):
            act(entry_id=full.entries[0], reason="理由", actor=actor_of(make_staff("auditor")))
        with pytest.raises(Invalid):
            act(entry_id=full.entries[0], reason=" ", actor=clerk)
        with pytest.raises(EntryNotFound):
            act(entry_id=10**9, reason="理由", actor=clerk)
    with clock.travel(by=timedelta(hours=2, minutes=1)), pytest.raises((WaitlistClosed, InvalidState)):
        staff.offer(entry_id=full.entries[0], reason="理由", actor=clerk)


# ── skip ────────────────────────────────────────────────────────────────────────────────────────────


def test_who_is_skipped_keeps_the_place_and_the_next_is_asked(clerk):
    full = Full(waiting=3, policy="sequential")
    full.free()
    assert live(full) == {0: "exclusive"}
    staff.skip(entry_id=full.entries[0], reason="家长说这周出差", actor=clerk)
    assert live(full) == {1: "exclusive"}
    assert order(full) == [0, 1, 2]
    assert db.session.get(WaitlistEntry, full.entries[0]).skip_reason == "BY_STAFF"
    assert steps("skipped")[-1].reason == "家长说这周出差"
    full.decline(1)
    assert live(full) == {0: "exclusive"}, "the next seat's turn begins at the head again"


def test_one_of_an_open_round_is_skipped_and_the_others_go_on(clerk):
    full = Full(waiting=2)
    full.free()
    staff.skip(entry_id=full.entries[0], reason="请假两周", actor=clerk)
    assert live(full) == {1: "open"}
    with pytest.raises(NoOffer):
        staff.skip(entry_id=full.entries[0], reason="再跳一次", actor=clerk)


def test_when_nobody_else_is_there_the_seat_goes_back_to_sale(clerk):
    full = Full(waiting=1)
    full.free()
    staff.skip(entry_id=full.entries[0], reason="家长不要了", actor=clerk)
    assert (live(full), kept(full)) == ({}, 0)
    assert db.session.scalar(sa.select(SeatRelease.end_reason)) == "all_skipped"
    assert full.statuses == ["waiting"]


# ── move, remove, add ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("who", "to", "expected"),
    [(2, 1, [2, 0, 1, 3]), (0, 4, [1, 2, 3, 0]), (0, 2, [1, 0, 2, 3]), (3, 2, [0, 3, 1, 2])],
)
def test_an_entry_is_moved_and_who_joins_later_stands_last(clerk, who, to, expected):
    full = Full(waiting=4)
    staff.move(entry_id=full.entries[who], position=to, reason="补偿上次停课", actor=clerk)
    assert order(full) == expected
    full.wait()
    assert order(full) == [*expected, 4]
    (flow,) = steps("moved")
    assert flow.facts == {"from": who + 1, "to": to}
    assert [line.staff_note for line in board.queue(full.session).lines if line.id == full.entries[who]] == [
        "补偿上次停课"
    ]


def test_moved_twice_and_back_again(clerk):
    full = Full(waiting=3)
    staff.move(entry_id=full.entries[2], position=1, reason="一", actor=clerk)
    staff.move(entry_id=full.entries[2], position=3, reason="二", actor=clerk)
    assert order(full) == [0, 1, 2]
    assert set(db.session.scalars(sa.select(WaitlistEntry.rank))) == {0}
    for position in (0, 4, 3):
        with pytest.raises(Invalid):
            staff.move(entry_id=full.entries[2], position=position, reason="三", actor=clerk)


def test_ranks_never_rise_above_nought():
    assert ranks.for_order([(1, 1), (2, 2), (3, 3)]) == [0, 0, 0]
    assert ranks.for_order([(3, 3), (1, 1), (2, 2)]) == [-1, 0, 0]
    assert ranks.for_order([(3, 3), (2, 2), (1, 1)]) == [-2, -1, 0]
    assert ranks.for_order([]) == []


def test_a_removed_entry_is_told_and_its_seat_goes_on(clerk):
    full = Full(waiting=2, policy="sequential")
    full.free()
    join.leave(entry_id=full.entries[0], reason="孩子已转班", actor=clerk)
    assert full.statuses[0] == "cancelled"
    assert live(full) == {1: "exclusive"}
    assert told(full, 0, "waitlist_expired") == 1


def test_staff_add_beyond_the_capacity_with_a_reason(clerk):
    full = Full(waiting=8)
    with pytest.raises(WaitlistFull):
        full.wait()
    late = make_family(parent="迟", balance="500.00")
    with pytest.raises(WaitlistFull):
        join.join(schedule_id=full.session, profile_id=late.profile_ids[0], actor=clerk)
    added = join.join(schedule_id=full.session, profile_id=late.profile_ids[0], actor=clerk, reason="老学员")
    line = board.queue(full.session).lines[-1]
    assert (line.id, line.position, line.staff_note, line.added_by) == (added, 9, "老学员", clerk.name)
    assert board.queue(full.session).full


# ── tell again, call, confirm for the parent ────────────────────────────────────────────────────────


def allow(full: Full, number: int, times: int = 9) -> None:
    with transaction():
        consents.change(full.families[number].user_id, "waitlist_offer", times)


def test_a_message_is_sent_again_within_limits(clerk):
    full = Full(waiting=1)
    allow(full, 0)
    with pytest.raises(NoOffer):
        staff.resend(entry_id=full.entries[0], actor=clerk)
    full.free()
    with pytest.raises(staff.TooManyMessages):
        staff.resend(entry_id=full.entries[0], actor=clerk)
    with clock.travel(by=timedelta(seconds=61)):
        staff.resend(entry_id=full.entries[0], actor=clerk)
        with pytest.raises(staff.TooManyMessages):
            staff.resend(entry_id=full.entries[0], actor=clerk)
    with clock.travel(by=timedelta(seconds=122)):
        staff.resend(entry_id=full.entries[0], actor=clerk)
    with clock.travel(by=timedelta(seconds=183)), pytest.raises(staff.TooManyMessages) as refusal:
        staff.resend(entry_id=full.entries[0], actor=clerk)
    assert "已通知 3 次" in refusal.value.message
    resent = (
        sa.select(sa.func.count()).select_from(WaitlistNotification).where(WaitlistNotification.resent_by == clerk.id)
    )
    assert db.session.scalar(resent) == 2


def test_without_consent_nothing_is_sent_again_and_the_board_says_call(clerk):
    full = Full(waiting=1)
    full.free()
    with clock.travel(by=timedelta(seconds=61)), pytest.raises(NoConsentLeft):
        staff.resend(entry_id=full.entries[0], actor=clerk)
    line = board.queue(full.session).lines[0]
    assert (line.reachable, line.to_call) == (False, True)
    staff.called(entry_id=full.entries[0], note="马上确认", actor=clerk)
    line = board.queue(full.session).lines[0]
    assert (line.to_call, line.called_by) == (False, clerk.name)
    assert steps("called")[0].reason == "马上确认"


def test_the_desk_confirms_for_the_parent(clerk):
    full = Full(waiting=2)
    full.free()
    done = answer.confirm(entry_id=full.entries[1], actor=clerk)
    assert done.booking_id
    assert answer.confirm(entry_id=full.entries[1], actor=clerk) == done
    balance = db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == full.families[1].id))
    assert balance == 800
    with pytest.raises(Forbidden):
        answer.confirm(entry_id=full.entries[0], actor=actor_of(make_staff("auditor")))


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────


def _running() -> int:
    """The number beside 候补看板."""
    return waiting.count(["waitlist_offers"])["waitlist_offers"]


def test_the_board_shows_seats_offers_and_money():
    full = Full(waiting=1)
    full.wait(balance="-700.00")
    Full(waiting=1)
    allow(full, 0)
    full.free()
    found = {one.session.id: one for one in board.queues()}
    assert len(found) == 2
    mine = found[full.session]
    assert (len(mine.kept), mine.to_offer, mine.session.kept) == (1, 1, 1)
    able, poor = mine.lines
    assert (able.offer.kind, able.reachable, able.unpaid, able.status) == ("open", True, None, "offered")
    assert (poor.offer, poor.unpaid, poor.status, poor.skip_reason) == (
        None,
        "ARREARS_BLOCKED",
        "waiting",
        "ARREARS_BLOCKED",
    )
    assert _running() == 1
    with clock.travel(by=timedelta(minutes=16)):
        assert _running() == 0, "a lapsed offer counts for nothing, moved on or not"
        assert board.queue(full.session).lines[0].status == "waiting"
    (line,) = board_figures.fullness()
    assert (line.sessions, line.waiting, line.taken, line.seats) == (2, 3, 2, 2)


def test_what_is_offered_is_on_the_board_however_far_ahead():
    far = Full(waiting=1, starts_in=timedelta(days=15))
    assert board.queues() == []
    far.free()
    assert [one.session.id for one in board.queues()] == [far.session]
    assert _running() == 1


def test_the_revision_changes_with_what_is_shown_and_only_then(clerk):
    full = Full(waiting=2)
    allow(full, 1)
    seen = {board_figures.revision()}

    def changed() -> bool:
        now = board_figures.revision()
        new = now not in seen
        seen.add(now)
        return new

    assert not changed()
    full.free()
    assert changed()
    allow(full, 0)
    assert changed()
    with transaction():
        db.session.execute(sa.update(Notification).where(Notification.type == "waitlist_offer").values(status="sent"))
    assert changed()
    staff.called(entry_id=full.entries[0], actor=clerk)
    assert changed()
    full.wait()
    assert changed()
    assert not changed()


def test_the_board_takes_the_same_statements_for_many_queues():
    def statements() -> int:
        count = 0

        def note(*_args):
            nonlocal count
            count += 1

        db.session.rollback()
        sa.event.listen(db.session.get_bind(), "before_cursor_execute", note)
        board.queues()
        sa.event.remove(db.session.get_bind(), "before_cursor_execute", note)
        return count

    Full(waiting=1).free()
    board.queues()
    few = statements()
    for _ in range(3):
        Full(waiting=2).free()
    assert statements() == few


def test_a_timeline_answers_why_not_me(clerk):
    full = Full(waiting=2, policy="sequential")
    full.wait(balance="-700.00")
    full.wait()
    full.free()
    staff.skip(entry_id=full.entries[0], reason="家长出差", actor=clerk)
    full.decline(1)
    staff.skip(entry_id=full.entries[0], reason="还没回来", actor=clerk)
    full.confirm(3)
    story = timeline.timeline(db.session.scalar(sa.select(SeatRelease.id)))
    assert (story.release.status, story.release.filled_by, story.release.cause) == ("filled", "张小明", "cancelled")
    why = {full.entries.index(fate.entry_id): (fate.got_it, " ".join(fate.why)) for fate in story.fates}
    assert why[3][0]
    assert "确认" in why[3][1]
    assert "家长出差" in why[0][1]
    assert "放弃" in why[1][1]
    assert not why[2][0]
    texts = [event.text for event in story.events]
    assert texts[0] == "座位空出"
    assert {"通知名额", "跳过", "放弃", "确认", "座位补上"} <= set(texts)
    assert timeline.timeline(10**9) is None
    assert [one.id for one in timeline.recent().items] == [story.release.id]
    assert [event.text for event in timeline.of_entry(full.entries[1])] == ["加入候补", "通知名额", "放弃"]


def test_two_seats_have_two_stories():
    full = Full(capacity=2, waiting=3, policy="sequential")
    full.free(0)
    full.free(1)
    full.confirm(0)
    first, second = (timeline.timeline(one.id) for one in reversed(timeline.recent().items))
    assert [fate.got_it for fate in first.fates] == [True, False, False]
    assert "单独收到名额" in second.fates[1].why[0]
    assert "单独收到名额" not in " ".join(second.fates[0].why)


def test_a_story_is_told_in_the_order_of_its_time(clerk):
    full = Full(capacity=2, waiting=3)
    staff.move(entry_id=full.entries[2], position=1, reason="先", actor=clerk)
    full.free(0)
    full.confirm(0)
    staff.move(entry_id=full.entries[1], position=1, reason="后", actor=clerk)
    (release,) = timeline.recent().items
    fates = timeline.timeline(release.id).fates
    assert [full.entries.index(fate.entry_id) for fate in fates] == [2, 0, 1]
    assert [fate.position for fate in fates] == [1, 2, 3]
    with clock.travel(by=timedelta(minutes=1)):
        full.free(1)
    newer = timeline.recent().items[0]
    assert [full.entries.index(fate.entry_id) for fate in timeline.timeline(newer.id).fates] == [1, 2]
