"""The ledger verified by a worker: its progress, what it found, its end by a cancel (U11, W32)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.ledger import verify, verify_job
from app.domain.ledger.verify import Finding, Report
from app.domain.longjobs import service
from app.domain.longjobs.models import LongJob
from app.domain.outbox.models import Notification
from app.errors import Forbidden
from app.flows import longjobs, verifying
from tests.factories import make_family
from tests.portal import Browser, actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


def job(job_id: int) -> LongJob:
    db.session.rollback()
    return db.session.get(LongJob, job_id, populate_existing=True)


def test_the_whole_ledger_is_verified_and_what_was_found_is_kept(app):
    make_family(balance="100.00"), make_family(balance="50.00")
    finance = Browser(app).sign_in("finance")
    answer = finance.post("/health-money/verify")
    job_id = int(answer.location.rsplit("/", 1)[1])
    longjobs.run(job_id, seconds=60)
    done = job(job_id)
    assert (done.status, done.done, done.total) == ("done", 2, 2)
    result = done.params["result"]
    assert (result["sound"], result["wallets"], result["rows"], result["sum"]) == (True, 2, 2, "¥150.00")
    page = finance.get(answer.location).get_data(as_text=True)
    assert "账本完好" in page
    assert result["root"] in page
    assert Browser(app).sign_in("front_desk").post("/health-money/verify").status_code == 403
    with pytest.raises(Forbidden):
        verify_job.ask(actor=actor_of(make_staff("auditor")))


def test_what_does_not_hold_is_the_result_and_told_to_the_group(app, monkeypatch):
    family = make_family(balance="100.00")
    wrong = Report(full=True, wallets=1, rows_read=1, findings=[Finding(family.wallet_id, 1, "链断了")])
    monkeypatch.setattr(verifying.verify, "run", lambda **_: wrong)
    job_id = verify_job.ask(actor=actor_of(make_staff("finance")))
    longjobs.run(job_id, seconds=60)
    assert (job(job_id).status, job(job_id).params["result"]["sound"]) == ("done", False)
    assert job(job_id).params["result"]["findings"][0]["wallet_id"] == family.wallet_id
    told = sa.select(Notification.title).where(Notification.type == "ledger.broken")
    assert "账本核对不符" in db.session.scalar(told)
    page = Browser(app).sign_in("finance").get(f"/long-jobs/{job_id}").get_data(as_text=True)
    assert "账本不符 1 处" in page


def test_it_says_how_far_it_is_and_a_cancel_stops_it_there(monkeypatch):
    for _ in range(5):
        make_family(balance="10.00")
    monkeypatch.setattr(verify, "PACK", 2)
    monkeypatch.setattr(verify, "BATCH", 2)
    finance, reached = make_staff("finance"), []
    job_id = verify_job.ask(actor=actor_of(finance))
    advance = verifying.whole.advance

    def watched(**where) -> None:
        if len(reached) == 1:
            service.cancel(job_id=job_id, actor=actor_of(finance))
        advance(**where)
        reached.append(job(job_id).checkpoint)

    monkeypatch.setattr(verifying.whole, "advance", watched)
    longjobs.run(job_id, seconds=60)
    assert len(reached) == 1
    assert reached == [2], "after each pack, and not after each row"
    assert (job(job_id).status, job(job_id).params.get("result")) == ("cancelled", None)
