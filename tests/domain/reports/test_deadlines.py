"""What is past its deadline is late by so much, and no more once its job has run (Z11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.ledger.models import WalletTransaction
from app.domain.questions import service as questions
from app.domain.reports import deadlines, filling
from app.flows import payment_jobs
from tests.domain.orders import steps as trials
from tests.factories import make_family, parent_actor


def late(kind: str) -> tuple[int, float]:
    found = deadlines.late()[kind]
    return found.count, found.seconds


def test_nothing_is_late_on_an_empty_database(app):
    assert set(deadlines.late().values()) == {deadlines.Late()}


def test_holds_and_orders_are_late_until_their_job_ran(app):
    with clock.travel(by=-timedelta(minutes=40)):
        trials.order(make_family(), trials.trial_session())
    assert late("holds") == (1, pytest.approx(25 * 60, abs=30))
    assert late("orders") == (1, pytest.approx(10 * 60, abs=30))
    payment_jobs.retire_holds()
    assert late("holds") == (0, 0.0)


def test_a_reminder_is_late_from_the_time_of_its_policy_on(app):
    family = make_family(balance="100.00")
    mine = sa.select(WalletTransaction.id).where(WalletTransaction.wallet_id == family.wallet_id)
    transaction_id = db.session.scalar(mine)
    with clock.travel(by=-timedelta(hours=30)):
        questions.ask(transaction_id=transaction_id, text="为什么？", actor=parent_actor(family))
    with clock.travel(by=-timedelta(hours=7)):
        assert late("questions") == (0, 0.0)
    assert late("questions") == (1, pytest.approx(6 * 3600, abs=60))
    questions.remind_staff()
    assert late("questions") == (0, 0.0)


def test_seats_of_the_coming_week(app):
    before = filling.coming_seats()
    session = trials.trial_session()
    after = filling.coming_seats()
    assert session
    assert after["capacity"] > before["capacity"]
    assert (filling.waiting(), after["booked"]) == (0, before["booked"])
