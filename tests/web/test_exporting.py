"""A list too long to stream: written by a worker, fetched with the right, swept when its days are over (U11, S2)."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
import sqlalchemy as sa
from openpyxl import load_workbook

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.longjobs import rules, service
from app.domain.longjobs.models import LongJob
from app.domain.outbox.models import Notification
from app.domain.people.models import Staff
from app.flows import exporting, longjobs, receipts
from tests.portal import Browser, actor_of

ROWS = 12


@pytest.fixture
def finance(app):
    return Browser(app).sign_in("finance")


@pytest.fixture(autouse=True)
def messages(app, monkeypatch):
    """A list of a dozen rows, which count as long."""
    monkeypatch.setattr("app.domain.exporting.service.is_long", lambda rows: rows >= 10)
    now = clock.now()
    with transaction():
        db.session.execute(sa.insert(Notification), [
            {"type": "staff.long_job", "channel": "feishu", "recipient": "money", "status": "sent", "queue": "default",
             "title": f"=第 {n} 条", "text": "文字", "payload": {}, "dedupe_key": f"k{n}", "attempts": 1,
             "created_at": now, "next_attempt_at": now}
            for n in range(ROWS)
        ])  # fmt: skip


def text(response) -> str:
    return response.get_data(as_text=True)


def job() -> LongJob:
    db.session.rollback()
    return db.session.scalars(sa.select(LongJob).order_by(LongJob.id.desc())).first()


def ask(browser, form: str = "csv", query: str = "channel=feishu"):
    return browser.post(f"/exports/notices?{query}", {"format": form})


def written(browser, **more) -> int:
    """The id of an export's job that a worker has done."""
    ask(browser, **more)
    longjobs.run(job().id, seconds=60)
    return job().id


def test_a_long_list_is_written_by_a_worker_and_fetched_under_its_filters(finance):
    answer = ask(finance)
    assert (answer.status_code, answer.location) == (303, f"/long-jobs/{job().id}")
    assert job().status == "queued"
    early = finance.post(f"/exports/files/{job().id}")
    assert early.status_code == 409
    longjobs.run(job().id, seconds=60)
    assert (job().status, job().done, job().total) == ("done", ROWS, ROWS)
    assert "下载" in text(finance.get(answer.location))
    file = finance.post(f"/exports/files/{job().id}")
    lines = text(file).removeprefix("\ufeff").splitlines()
    assert len(lines) == ROWS + 2
    assert "'=第 0 条" in lines[-2], "what begins like a formula stays text"
    assert all(part in lines[-1] for part in (finance.staff.display_name, "渠道：飞书", f"行数,{ROWS}"))
    assert [row.action for row in entries()] == ["export.made", "export.fetched"]


def entries() -> list[AuditEntry]:
    db.session.rollback()
    query = sa.select(AuditEntry).where(AuditEntry.action.like("export.%")).order_by(AuditEntry.id)
    return list(db.session.scalars(query))


def test_a_short_list_streams_as_ever(finance):
    with transaction():
        db.session.execute(sa.delete(Notification).where(Notification.dedupe_key > "k2"))
    answer = ask(finance)
    assert answer.status_code == 200
    assert job() is None


def test_many_parts_make_one_file(finance, monkeypatch):
    monkeypatch.setattr(exporting, "PART", 64)
    job_id = written(finance)
    assert len(job().params["result"]["parts"]) == 3
    assert len(text(finance.post(f"/exports/files/{job_id}")).splitlines()) == ROWS + 2
    job_id = written(finance, form="xlsx")
    book = load_workbook(io.BytesIO(finance.post(f"/exports/files/{job_id}").data))
    assert book.worksheets[0].max_row == ROWS + 1


def test_the_same_list_asked_for_twice_is_one_job(finance):
    assert ask(finance).location == ask(finance).location
    assert ask(finance, form="xlsx").location != ask(finance).location


def test_who_may_not_see_the_list_fetches_no_file(app, finance):
    job_id = written(finance)
    assert Browser(app).sign_in("front_desk").post(f"/exports/files/{job_id}").status_code == 403
    assert Browser(app).sign_in("auditor").post(f"/exports/files/{job_id}").status_code == 200
    assert finance.post("/exports/files/999999").status_code == 404


def test_a_right_that_ended_before_the_worker_came_gives_no_file(finance):
    ask(finance)
    with transaction():
        db.session.execute(sa.update(Staff).where(Staff.id == finance.staff.id).values(role="front_desk"))
    longjobs.run(job().id, seconds=60)
    assert (job().status, job().error) == ("failed", "导出人已没有这项权限，没有生成文件")


def test_a_cancel_stops_it_and_a_killed_one_is_written_again_from_its_first_row(finance, monkeypatch):
    ask(finance)
    job_id = job().id
    assert service.take(job_id=job_id, owner="dead") == "export"
    exporting.whole.begin(job_id=job_id, owner="dead")
    exporting.whole.advance(job_id=job_id, owner="dead", done=7)
    assert job().checkpoint == 7
    with clock.travel(by=rules.LEASE + timedelta(seconds=1)):
        longjobs.run(job_id, seconds=60)
    assert (job().status, job().done, job().deaths) == ("done", ROWS, 1)
    assert len(text(finance.post(f"/exports/files/{job_id}")).splitlines()) == ROWS + 2

    ask(finance, form="xlsx")
    job_id, advance = job().id, exporting.whole.advance

    def cancelled(**where) -> None:
        service.cancel(job_id=job_id, actor=actor_of(finance.staff))
        advance(**where)

    monkeypatch.setattr(exporting.whole, "advance", cancelled)
    longjobs.run(job_id, seconds=60)
    assert (job().status, job().params.get("result")) == ("cancelled", None)
    assert finance.post(f"/exports/files/{job_id}").status_code == 409


def test_a_file_is_kept_for_its_days_and_then_swept(app, finance):
    job_id = written(finance)
    (part,) = job().params["result"]["parts"]
    with clock.travel(by=timedelta(days=2)):
        receipts.sweep_orphans()
        assert Browser(app).sign_in("finance").post(f"/exports/files/{job_id}").status_code == 200
    with clock.travel(by=timedelta(days=8)):
        late = Browser(app).sign_in("finance")
        assert "已过保留期" in text(late.get(f"/long-jobs/{job_id}"))
        assert late.post(f"/exports/files/{job_id}").status_code == 409
        receipts.sweep_orphans()
    assert part not in {item.key for item in receipts.receipt_store().stored()}
