"""A reconciliation that a person asked for, as long work against the stand-in over HTTP (W24, U11)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db
from app.domain.longjobs.models import LongJob, LongJobRow
from app.domain.longjobs.service import take
from app.domain.reconcile import queries, runs
from app.errors import Forbidden, Invalid
from app.flows import longjobs
from tests.portal import actor_of, make_staff


def asked() -> int:
    return runs.ask(day=queries.latest_day(), actor=actor_of(make_staff("finance")))


def rows(job_id: int) -> list[tuple[str, str | None]]:
    db.session.rollback()
    found = db.session.query(LongJobRow).filter_by(job_id=job_id).order_by(LongJobRow.number)
    return [(row.outcome, row.code) for row in found]


def status(job_id: int) -> str:
    db.session.rollback()
    return db.session.get(LongJob, job_id, populate_existing=True).status


def test_the_bill_and_every_check_of_the_books(wechat_pay):
    job_id = asked()
    longjobs.run(job_id, seconds=60)
    assert (status(job_id), rows(job_id)) == ("done", [("done", None)] * 7)
    assert queries.last_bill().day == queries.latest_day()
    assert queries.books_checked_at() is not None


def test_a_bill_that_is_not_there_refuses_its_row_alone(wechat_pay):
    wechat_pay.set_fault("wxpay", bill_creating=True)
    job_id = asked()
    longjobs.run(job_id, seconds=60)
    assert (status(job_id), rows(job_id)) == ("done", [("refused", "BILL_NOT_READY"), *[("done", None)] * 6])
    assert queries.last_bill() is None


def test_the_next_worker_goes_on_where_a_dead_one_stopped(wechat_pay):
    job_id = asked()
    longjobs.run(job_id, seconds=0)
    assert take(job_id=job_id, owner="dies") == runs.KIND
    longjobs.run(job_id, seconds=60)
    assert status(job_id) == "running"  # the dead one's lease is not over
    with clock.travel(by=timedelta(seconds=30)):
        longjobs.run(job_id, seconds=60)
    assert (status(job_id), len(rows(job_id))) == ("done", 7)


def test_who_may_ask_and_for_which_days(app):
    with pytest.raises(Forbidden):
        runs.ask(day=queries.latest_day(), actor=actor_of(make_staff("auditor")))
    finance = actor_of(make_staff("finance"))
    for day in (None, clock.today(), clock.today() + timedelta(days=1), clock.today() - timedelta(days=90)):
        with pytest.raises(Invalid):
            runs.ask(day=day, actor=finance)
    runs.ask(day=runs.earliest(), actor=finance)
