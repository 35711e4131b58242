"""What the desk does with credits and minutes: extend, void, invite, book several, adjust (M9)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.credits.errors import CreditExpired, CreditNotFound, NoCredit, NotEnoughCompensation
from app.domain.credits.models import CompensationHistory
from app.domain.makeups import expiry, manage
from app.domain.outbox.models import Notification
from app.domain.people import phones
from app.errors import Forbidden, Invalid, InvalidState, NotFound, Replayed
from tests.domain.makeups.steps import Away, whole
from tests.factories import BELONGING, belonging_to, make_session, parent_of
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")

DAY = timedelta(days=1)


@pytest.fixture
def desk(app):
    return actor_of(make_staff("front_desk"))


def entries(action: str) -> list[AuditEntry]:
    return list(db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == action)))


def told(words: str) -> int:
    query = sa.select(sa.func.count()).select_from(Notification)
    return db.session.scalar(query.where(Notification.type == "makeup_credit", Notification.text.contains(words)))


# ── extend ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_credit_is_extended_to_the_end_of_a_day(desk):
    one = Away(60)
    old, until = one.credit().valid_until, clock.today() + 90 * DAY
    manage.extend(credit_id=one.credits[0], until=until, reason="住院", actor=desk)
    end = clock.day_bounds(until)[1]
    assert (one.credit().status, one.credit().valid_until) == ("available", end)
    [entry] = entries("credit.extended")
    assert (entry.reason, entry.old_status, entry.new_status) == ("住院", "available", "available")
    assert (old.isoformat() in str(entry.before), end.isoformat() in str(entry.after)) == (True, True)
    assert told("延长") == 1


def test_an_expired_credit_lives_again(desk):
    one = Away(60)
    with clock.travel(by=60 * DAY):
        expiry.expire()
        assert one.credit().status == "expired"
        manage.extend(credit_id=one.credits[0], until=clock.today() + DAY, reason="住院", actor=desk)
        assert (one.credit().status, one.credit().ended_at) == ("available", None)
        assert one.book(one.session(60, starts_in=timedelta(hours=2))).booking_id


@pytest.mark.parametrize("days", [-1, 0, 59, 121, 3650])
def test_an_end_that_is_none(desk, days):
    """Not before today or the old end, and not beyond twice the usual time."""
    one = Away(60)
    before = one.credit().valid_until
    with pytest.raises(Invalid) as refusal:
        manage.extend(credit_id=one.credits[0], until=clock.today() + days * DAY, reason="住院", actor=desk)
    assert list(refusal.value.errors) == ["until"]
    assert (one.credit().valid_until, entries("credit.extended")) == (before, [])


# ── void ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_credit_is_voided_for_a_reason_that_the_family_hears(desk):
    one = Away(60)
    key = RequestKey(scope=f"staff:{desk.id}", key="v" * 16, fingerprint="f")
    manage.void(credit_id=one.credits[0], reason="重复请假", actor=desk, request_key=key)
    with pytest.raises(Replayed):
        manage.void(credit_id=one.credits[0], reason="重复请假", actor=desk, request_key=key)
    assert (one.credit().status, one.credit().end_reason) == ("void", "重复请假")
    [entry] = entries("credit.voided")
    assert (entry.old_status, entry.new_status, entry.reason) == ("available", "void", "重复请假")
    assert told("重复请假") == 1
    with pytest.raises(NoCredit):
        one.book(one.session(60))


def test_what_is_over_is_neither_voided_nor_extended(desk):
    one = Away(60, 60)
    one.book(one.session(60))
    manage.void(credit_id=one.credits[1], reason="转学", actor=desk)
    for number in (0, 1):
        credit_id, until = one.credits[number], clock.today() + 90 * DAY
        with pytest.raises(InvalidState):
            manage.void(credit_id=credit_id, reason="转学", actor=desk)
        with pytest.raises(InvalidState):
            manage.extend(credit_id=credit_id, until=until, reason="转学", actor=desk)
    assert [one.credit(n).status for n in (0, 1)] == ["used", "void"]


# ── who may, and for whom ───────────────────────────────────────────────────────────────────────────


def acts(one: Away, actor, *, reason: str = "住院"):
    credit_id = one.credits[0]
    yield lambda: manage.extend(credit_id=credit_id, until=clock.today() + 90 * DAY, reason=reason, actor=actor)
    yield lambda: manage.void(credit_id=credit_id, reason=reason, actor=actor)
    yield lambda: manage.adjust_minutes(profile_id=one.profile_id, minutes=30, reason=reason, actor=actor)


@pytest.mark.parametrize("how", BELONGING)
def test_nobody_gives_to_their_own_family(how):
    one = Away(60)
    with transaction():
        phones.assign(parent_of(one.family), "13700001234")
    for role in ("front_desk", "manager"):
        for act in acts(one, actor_of(make_staff(role, **belonging_to(one.family, how)))):
            with pytest.raises(Forbidden) as refusal:
                act()
            assert refusal.value.code == "OWN_FAMILY"
    assert (one.credit().status, one.minutes) == ("available", 0)


def test_who_may_not_and_without_a_reason(desk):
    one = Away(60)
    for role in ("auditor", "admin"):
        for act in acts(one, actor_of(make_staff(role))):
            with pytest.raises(Forbidden):
                act()
    for act in acts(one, one.actor):
        with pytest.raises(Forbidden):
            act()
    for act in acts(one, desk, reason="  "):
        with pytest.raises(Invalid) as refusal:
            act()
        assert list(refusal.value.errors) == ["reason"]
    for missing in (0, 10**12):
        with pytest.raises(CreditNotFound):
            manage.void(credit_id=missing, reason="转学", actor=desk)
        with pytest.raises(NotFound):
            manage.adjust_minutes(profile_id=missing, minutes=15, reason="转学", actor=desk)
    assert (one.credit().status, one.minutes) == ("available", 0)


# ── invite ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_family_is_told_of_up_to_three_classes_once_a_day(desk):
    one = Away(60)
    sessions = [one.session(60) for _ in range(4)]
    # Noon, so that both days are two studio days whatever the hour.
    noon = clock.day_bounds(clock.today())[0] + timedelta(hours=36)
    with clock.travel(to=noon):
        assert manage.invite(credit_id=one.credits[0], schedule_ids=sessions[1:4], actor=desk) == 1
        assert manage.invite(credit_id=one.credits[0], schedule_ids=sessions[1:4][::-1], actor=desk) == 0
    assert told("推荐：") == 1
    assert len(entries("credit.invited")) == 2
    assert one.credit().status == "available"
    for chosen in ([], sessions, [10**12]):
        with pytest.raises(Invalid) as refusal:
            manage.invite(credit_id=one.credits[0], schedule_ids=chosen, actor=desk)
        assert list(refusal.value.errors) == ["schedule_ids"]


def test_only_classes_that_fit_and_credits_that_can_be_used(desk):
    one = Away(60)
    other = one.session(60, type_code="vip")
    with pytest.raises(Invalid, match="请重新选择"):
        manage.invite(credit_id=one.credits[0], schedule_ids=[one.session(60), other], actor=desk)
    with pytest.raises(CreditNotFound):
        manage.invite(credit_id=10**12, schedule_ids=[other], actor=desk)
    with pytest.raises(Forbidden):
        manage.invite(credit_id=one.credits[0], schedule_ids=[other], actor=actor_of(make_staff("auditor")))
    with clock.travel(by=60 * DAY), pytest.raises(CreditExpired):
        manage.invite(credit_id=one.credits[0], schedule_ids=[other], actor=desk)
    assert told("推荐：") == 0


# ── several ─────────────────────────────────────────────────────────────────────────────────────────


def test_several_students_each_with_an_outcome_of_their_own(desk):
    fits, short, longer, used, later = Away(60), Away(90), Away(45), Away(60), Away(60)
    session = make_session(capacity=3, starts_in=5 * DAY)
    used.book(used.session(60, starts_in=9 * DAY))
    fellows = [fits, short, longer, used, later]
    asked = [one.credits[0] for one in fellows] + [10**12, fits.credits[0]]
    found = manage.book_several(credit_ids=asked, schedule_id=session, actor=desk)
    assert [one.credit_id for one in found] == asked[:-1]
    assert [one.refusal.code if one.refusal else "ok" for one in found] == [
        "ok", "SHORTER_CLASS", "NOT_ENOUGH_COMPENSATION", "NO_CREDIT", "ok", "CREDIT_NOT_FOUND",
    ]  # fmt: skip
    assert [one.made is None for one in found] == [False, True, True, True, False, True]
    again = manage.book_several(
        credit_ids=[short.credits[0], fits.credits[0]], schedule_id=session, actor=desk, accept_shorter=True
    )
    assert again[0].made.earned == 30
    assert again[1].refusal.code == "NO_CREDIT"
    late = Away(60)
    [full] = manage.book_several(credit_ids=late.credits, schedule_id=session, actor=desk)
    assert full.refusal.code == "SEAT_FULL"
    assert [one.credit().status for one in (*fellows, late)] == [
        "used", "used", "available", "used", "used", "available",
    ]  # fmt: skip
    whole()


def test_several_need_the_permission():
    one = Away(60)
    with pytest.raises(Forbidden):
        manage.book_several(credit_ids=one.credits, schedule_id=one.session(60), actor=actor_of(make_staff("auditor")))
    assert one.credit().status == "available"


# ── minutes ─────────────────────────────────────────────────────────────────────────────────────────


def test_minutes_are_given_and_taken_from_what_ends_first(desk):
    one = Away(60)
    ask = {"profile_id": one.profile_id, "reason": "老会员", "actor": desk}
    assert manage.adjust_minutes(minutes=30, **ask) == 30
    with clock.travel(by=DAY):
        assert manage.adjust_minutes(minutes=45, **ask) == 75
        assert manage.adjust_minutes(minutes=-45, **ask) == 30
        assert one.lots == [(30, 0), (45, 30)]
        with pytest.raises(NotEnoughCompensation) as refusal:
            manage.adjust_minutes(minutes=-45, **ask)
        assert refusal.value.data == {"needed": 45, "available": 30, "missing": 15}
    assert one.history == [("adjusted", 30), ("adjusted", 45), ("adjusted", -30), ("adjusted", -15)]
    assert [(entry.reason, entry.family_id) for entry in entries("compensation.adjusted")] == [
        ("老会员", one.family.id)
    ] * 3
    assert set(db.session.scalars(sa.select(CompensationHistory.note))) == {"老会员"}
    whole()


@pytest.mark.parametrize("minutes", [0, 1, -1, 20, 615, -615, 10**9])
def test_minutes_that_are_none(desk, minutes):
    one = Away(60)
    with pytest.raises(Invalid) as refusal:
        manage.adjust_minutes(profile_id=one.profile_id, minutes=minutes, reason="老会员", actor=desk)
    assert list(refusal.value.errors) == ["minutes"]
    assert one.lots == []


def test_given_twice_under_one_key_is_given_once(desk):
    one = Away(60)
    key = RequestKey(scope=f"staff:{desk.id}", key="a" * 16, fingerprint="f")
    ask = {"profile_id": one.profile_id, "minutes": 30, "reason": "老会员", "actor": desk, "request_key": key}
    manage.adjust_minutes(**ask)
    with pytest.raises(Replayed):
        manage.adjust_minutes(**ask)
    assert one.minutes == 30


def test_a_parent_uses_what_the_desk_gave(desk):
    one = Away(60)
    manage.adjust_minutes(profile_id=one.profile_id, minutes=30, reason="老会员", actor=desk)
    assert one.book(one.session(90), use_compensation=True).used == 30
