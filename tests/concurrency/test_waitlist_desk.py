"""The desk decides about a queue while parents answer and the job moves on (Q17): whatever comes first, the queue stays
whole and a seat is promised once."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.audit.actor import Actor
from app.domain.bookings.models import Booking
from app.domain.offers import advance, answer, join, staff
from app.domain.waitlist.models import WaitlistOffer
from tests.concurrency.processes import pool, together
from tests.concurrency.test_waitlist_races import said
from tests.domain.offers import whole
from tests.domain.offers.steps import Full
from tests.factories import parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

ROUNDS = 12


def offer_in_turn(share: list[tuple[int, Actor]]) -> list[str]:
    heard = []
    for entry_id, clerk in share:
        together()
        heard.append(said(staff.offer, entry_id=entry_id, reason="先答应过", actor=clerk))
    return heard


def test_two_clerks_promise_one_seat_once(live_app):
    with live_app.app_context():
        clerks = [actor_of(make_staff("front_desk")) for _ in range(2)]
        queues = [Full(waiting=3) for _ in range(ROUNDS)]
        for full in queues:
            full.free()
        shares = [[(full.entries[n], clerks[n]) for full in queues] for n in range(2)]
        db.session.remove()
    with pool(live_app, 2) as members:
        heard = list(zip(*members.map(offer_in_turn, shares, chunksize=1), strict=True))
    assert all(sorted(pair) == ["NO_KEPT_SEAT", "ok"] for pair in heard), heard
    with live_app.app_context():
        for full in queues:
            whole.check(full.session)
            assert len(full.live) == 1


def act_in_turn(share: list[tuple[str, dict]]) -> list[str]:
    acts = {"offer": staff.offer, "skip": staff.skip, "move": staff.move, "confirm": answer.confirm,
            "leave": join.leave, "advance": advance.advance}  # fmt: skip
    heard = []
    for word, given in share:
        together()
        heard.append(said(acts[word], **given))
    return heard


def test_everybody_at_once_and_the_queue_is_whole(live_app):
    with live_app.app_context():
        clerk = actor_of(make_staff("front_desk"))
        queues = [Full(waiting=5) for _ in range(ROUNDS)]
        shares: list[list] = [[] for _ in range(6)]
        for full in queues:
            full.free()
            ids = full.entries
            each = [
                ("offer", {"entry_id": ids[4], "reason": "一", "actor": clerk}),
                ("skip", {"entry_id": ids[0], "reason": "二", "actor": clerk}),
                ("move", {"entry_id": ids[3], "position": 1, "reason": "三", "actor": clerk}),
                ("confirm", {"entry_id": ids[1], "actor": parent_actor(full.families[1])}),
                ("leave", {"entry_id": ids[2], "actor": parent_actor(full.families[2])}),
                ("advance", {"schedule_id": full.session}),
            ]
            for share, act in zip(shares, each, strict=True):
                share.append(act)
        db.session.remove()
    with pool(live_app, 6) as members:
        heard = members.map(act_in_turn, shares, chunksize=1)
    words = Counter(word for answers in heard for word in answers)
    assert not [word for word in words if word.startswith("ERROR")], words
    with live_app.app_context():
        for number, full in enumerate(queues):
            whole.check(full.session)
            booked = sa.select(sa.func.count()).where(
                Booking.course_schedule_id == full.session, Booking.live_profile_id.is_not(None)
            )
            assert db.session.scalar(booked) == (1 if heard[3][number] == "ok" else 0)
            # A seat that was promised to one alone is not confirmed by another.
            alone = sa.select(sa.func.count()).where(
                WaitlistOffer.entry_id == full.entries[4], WaitlistOffer.kind == "exclusive"
            )
            assert db.session.scalar(alone) == (1 if heard[0][number] == "ok" else 0)
            assert [heard[0][number], heard[3][number]].count("ok") == 1
