"""`/metrics`: who may read it, and that it counts what happened (Z11)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from app import clock, create_app, metrics
from app.config import ROOT
from app.db import db, transaction, transactional
from app.domain.orders import attempts
from app.domain.orders.models import PaymentTransaction
from app.domain.outbox.models import JobRun
from app.errors import Conflict
from tests.conftest import make_settings
from tests.domain.orders import steps as trials
from tests.domain.waitlist.counted import entry, message, offer
from tests.factories import make_family, make_session


def scrape(client, **kwargs) -> str:
    answer = client.get("/metrics", **kwargs)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    return answer.text


def value(text: str, line: str) -> float:
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def from_address(address: str) -> dict:
    return {"environ_base": {"REMOTE_ADDR": address}}


def test_only_this_machine_may_read_it(client):
    scrape(client, **from_address("127.0.0.1"))
    scrape(client, **from_address("::1"))
    assert client.get("/metrics", **from_address("10.0.0.7")).status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-Ip"])
def test_whoever_comes_through_a_proxy_is_not_this_machine(client, header):
    assert client.get("/metrics", headers={header: "127.0.0.1"}, **from_address("127.0.0.1")).status_code == 404


def test_the_token_opens_it_from_elsewhere(tmp_path):
    settings = make_settings(f"sqlite:///{tmp_path / 'x.db'}", tmp_path, DESK_METRICS_TOKEN="a-long-token-for-metrics")
    client = create_app(settings).test_client()
    elsewhere = from_address("10.0.0.7")
    scrape(client, headers={"Authorization": "Bearer a-long-token-for-metrics"}, **elsewhere)
    for wrong in ("Bearer a-long-token", "a-long-token-for-metricsx", "Bearer ", "", "Bearer é"):
        assert client.get("/metrics", headers={"Authorization": wrong}, **elsewhere).status_code == 404


@transactional
def _refused() -> None:
    raise Conflict("no")


@transactional
def _done() -> None:
    return None


def test_use_cases_are_counted_by_their_result(client):
    name = "tests.test_metrics"
    before = scrape(client)
    _done()
    _done()
    with pytest.raises(Conflict):
        _refused()
    after = scrape(client)

    def more(use_case: str, result: str) -> float:
        line = f'desk_operations_total{{result="{result}",use_case="{name}.{use_case}"}}'
        return value(after, line) - value(before, line)

    assert more("_done", "committed") == 2
    assert more("_refused", "refused") == 1
    assert more("_refused", "committed") == 0


def test_requests_are_timed_by_endpoint_and_never_by_path(client):
    client.get("/healthz")
    client.get("/a-path-that-somebody-made-up")
    text = scrape(client)
    assert 'endpoint="health.healthz"' in text
    assert 'endpoint="none"' in text
    assert "made-up" not in text


def test_parts_jobs_and_outbox(client):
    with transaction():
        db.session.add(JobRun(name="outbox_sweep", last_success_at=clock.now(), last_finished_at=clock.now()))
        db.session.add(JobRun(name="ledger_verify", last_error="boom"))
    text = scrape(client)
    assert value(text, 'desk_up{part="database"}') == 1
    assert value(text, 'desk_up{part="redis"}') == 0.5
    assert value(text, 'desk_job_failing{job="ledger_verify"}') == 1
    assert value(text, 'desk_job_last_success_timestamp{job="outbox_sweep"}') > 1_700_000_000
    assert 'desk_outbox_oldest_seconds{queue="urgent"} 0.0' in text


def test_arrears_and_reminders(client):
    with clock.travel(by=-timedelta(days=8)):
        make_family(balance="-100.00")
    with clock.travel(by=-timedelta(days=15)):
        make_family(balance="-20.00")
    make_family(balance="-3.00")
    text = scrape(client)
    for stage, families, yuan in (("all", 3, 123), ("list", 2, 120), ("task", 1, 20)):
        assert value(text, f'desk_arrears_families{{stage="{stage}"}}') == families
        assert value(text, f'desk_arrears_yuan{{stage="{stage}"}}') == yuan
    assert "desk_class_reminders_waiting 0.0" in text


def test_what_the_waitlist_promised(client):
    session, hour = make_session(), timedelta(hours=1)
    for late in (1, 11):
        one = entry(session, joined=clock.now() - 2 * hour)
        made = offer(session, one, at=clock.now() - hour, status="lapsed")
        message(one, made, at=clock.now() - hour, sent_after=timedelta(seconds=late))
    text = scrape(client)
    assert value(text, 'desk_waitlist_promises{promise="notices"}') == 2
    assert value(text, 'desk_waitlist_promises_broken{promise="notices"}') == 1
    assert 'desk_waitlist_promises{promise="cutoffs"} 0.0' in text


def test_what_paying_promised(client):
    family, session = make_family(), trials.trial_session()
    text = scrape(client)
    assert value(text, 'desk_payment_promises{promise="starts"}') == 0
    assert "desk_payment_seconds{" not in text
    paid = trials.order(family, session)
    trials.pay(family, paid)
    other = make_family()
    begun = trials.begin(other, trials.order(other, session))
    attempts.note_start(attempt_id=begun.id, result="SYSTEM_ERROR")
    text = scrape(client)
    for promise, judged, broken in (("starts", 1, 1), ("callbacks", 1, 1), ("holds", 0, 0), ("duplicates", 0, 0)):
        assert value(text, f'desk_payment_promises{{promise="{promise}"}}') == judged, promise
        assert value(text, f'desk_payment_promises_broken{{promise="{promise}"}}') == broken, promise
    assert value(text, 'desk_payment_seconds{quantile="0.9"}') >= 0
    # What must not be: a second payment that nobody refused.
    with transaction():
        first = db.session.query(PaymentTransaction).one()
        columns = {one.name: getattr(first, one.name) for one in PaymentTransaction.__table__.columns}
        columns.pop("id")
        db.session.add(PaymentTransaction(**columns | {"transaction_id": "4200000000000002"}))
    assert value(scrape(client), 'desk_payment_promises_broken{promise="duplicates"}') == 1


def test_with_the_database_away_it_still_answers(tmp_path):
    client = create_app(make_settings("mysql+pymysql://desk@127.0.0.1:1/desk", tmp_path)).test_client()
    text = scrape(client, **from_address("127.0.0.1"))
    assert value(text, 'desk_up{part="database"}') == 0
    assert "desk_http_request_seconds" in text


def test_each_name_is_explained(client):
    client.get("/healthz")
    names = set(re.findall(r"^# TYPE (desk_\w+)", scrape(client), re.MULTILINE))
    text = (ROOT / "docs" / "operations" / "metrics.md").read_text()
    assert {name for name in names if not name.endswith("_created")} - set(re.findall(r"`(desk_\w+)`", text)) == set()
    assert metrics.bp.name == "metrics"
