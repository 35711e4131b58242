"""Credits and minutes whose end has come or comes near: closed once, told of once, nothing in silence (M1, M6)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.bookings import cancel
from app.domain.credits import service as credits
from app.domain.makeups import expiry, manage
from app.domain.outbox.models import Notification
from app.domain.people.models import Profile, ProfileStatus
from tests.domain.makeups.steps import Away, whole
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")

DAY = timedelta(days=1)


def count(model, *where) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(model).where(*where))


def told(type_: str, words: str) -> list[str]:
    texts = db.session.scalars(sa.select(Notification.text).where(Notification.type == type_).order_by(Notification.id))
    return [text for text in texts if words in text]


def with_minutes() -> Away:
    """Two credits, one of them used for a class thirty minutes shorter."""
    one = Away(90, 60)
    one.book(one.session(60), accept_shorter=True)
    return one


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_has_ended_is_closed_once_and_nothing_else():
    one = with_minutes()
    lot_end, credit_end = 14 * DAY, 60 * DAY
    with clock.travel(by=lot_end - timedelta(minutes=1)):
        assert expiry.expire() == 0
    with clock.travel(by=lot_end):
        assert [expiry.expire() for _ in range(2)] == [1, 0]
        assert (one.lots, one.history[-1]) == ([(30, 0)], ("expired", -30))
    with clock.travel(by=credit_end):
        assert [expiry.expire() for _ in range(2)] == [1, 0]
    assert (one.credit(0).status, one.credit(1).status) == ("used", "expired")
    assert one.credit(1).ended_at is not None
    for action in ("credit.expired", "compensation.expired"):
        assert count(AuditEntry, AuditEntry.action == action) == 1
    whole()


def test_a_makeup_that_ends_after_its_minutes_did_gives_them_back_for_a_day():
    one = with_minutes()
    long = one.book(one.session(75, starts_in=30 * DAY), 1, use_compensation=True)
    with clock.travel(by=15 * DAY):
        assert expiry.expire() == 1
        cancel.cancel(booking_id=long.booking_id, actor=one.actor)
        assert (one.minutes, one.lots) == (15, [(30, 0), (15, 15)])
    with clock.travel(by=17 * DAY):
        assert (one.minutes, expiry.expire()) == (0, 1)
    whole()


def test_killed_half_way_the_next_run_goes_on(monkeypatch):
    one = Away(60, 60, 60)
    end, seen = credits.end, []

    def dies(credit, *rest):
        seen.append(credit.id)
        if len(seen) == 2:
            raise SystemExit
        return end(credit, *rest)

    with clock.travel(by=61 * DAY):
        monkeypatch.setattr(credits, "end", dies)
        with pytest.raises(SystemExit):
            expiry.expire()
        assert [one.credit(n).status for n in range(3)] == ["expired", "available", "available"]
        assert expiry.expire() == 2
    assert count(AuditEntry, AuditEntry.action == "credit.expired") == 3


def test_more_than_one_batch_is_done_in_one_run(monkeypatch):
    one = Away(60, 60, 60)
    monkeypatch.setattr(expiry, "BATCH", 1)
    with clock.travel(by=54 * DAY):
        assert expiry.remind() == 3
    with clock.travel(by=61 * DAY):
        assert expiry.expire() == 3
    assert {one.credit(n).status for n in range(3)} == {"expired"}


# ── reminders ───────────────────────────────────────────────────────────────────────────────────────


def test_a_family_hears_once_of_each_end():
    one = with_minutes()
    with clock.travel(by=11 * DAY - timedelta(hours=1)):
        assert expiry.remind() == 0
    with clock.travel(by=11 * DAY):
        assert [expiry.remind() for _ in range(2)] == [1, 0]
    [text] = told("compensation_ending", "30 分钟")
    assert "张小明" in text
    with clock.travel(by=53 * DAY):
        assert [expiry.remind() for _ in range(2)] == [1, 0]
    assert len(told("makeup_credit", "还没有补课")) == 1
    assert one.credit(1).status == "available"


def test_an_extended_credit_is_spoken_of_again():
    one = Away(60)
    manager = actor_of(make_staff("manager"))
    with clock.travel(by=54 * DAY):
        assert expiry.remind() == 1
        until = clock.today() + 30 * DAY
        manage.extend(credit_id=one.credits[0], until=until, reason="生病住院", actor=manager)
        assert expiry.remind() == 0
    with clock.travel(by=80 * DAY):
        assert [expiry.remind() for _ in range(2)] == [1, 0]
    assert len(told("makeup_credit", "还没有补课")) == 2


@pytest.mark.parametrize("what", ["credit", "minutes"])
def test_no_word_of_what_cannot_be_used(what):
    one = with_minutes()
    if what == "credit":
        with clock.travel(by=54 * DAY):
            manage.void(credit_id=one.credits[1], reason="转学", actor=actor_of(make_staff("manager")))
            assert expiry.remind() == 0
        return
    one.book(one.session(90), 1, use_compensation=True)
    with clock.travel(by=12 * DAY):
        assert expiry.remind() == 0


def test_who_has_left_hears_nothing_and_still_loses_nothing_early():
    one = with_minutes()
    with transaction():
        db.session.get(Profile, one.profile_id).status = ProfileStatus.LEFT
    for days in (12, 54):
        with clock.travel(by=days * DAY):
            assert expiry.remind() == 0
    assert (one.minutes, one.credit(1).status) == (30, "available")
    with clock.travel(by=61 * DAY):
        assert expiry.expire() == 2


def test_a_job_looks_again_under_the_lock():
    """Chosen as due, then used up or extended by somebody quicker."""
    one = with_minutes()
    [lot_id] = db.session.scalars(sa.text("SELECT id FROM compensation_lots"))
    assert not expiry._expire_credit(row_id=one.credits[0])
    assert not expiry._expire_credit(row_id=one.credits[1])
    assert not expiry._expire_lot(row_id=lot_id)
    assert not expiry._remind_credit(row_id=one.credits[0])
    one.book(one.session(90), 1, use_compensation=True)
    assert not expiry._remind_lot(row_id=lot_id)
    assert count(Notification, Notification.type == "compensation_ending") == 0
