"""Short ways to make sheets of adjustments and batches in tests."""

from __future__ import annotations

import csv
import io

import sqlalchemy as sa
from openpyxl import Workbook

from app.db import db
from app.domain.desk import bulk, bulk_check, bulk_decide, bulk_sheet
from app.domain.desk.bulk import StoredSheet
from app.domain.desk.bulk_models import AdjustmentBatch
from app.domain.longjobs.models import LongJob, LongJobRow
from app.domain.people.models import Family
from app.flows import longjobs
from app.sheets import Row
from tests.domain.desk.desk import _numbers
from tests.portal import actor_of

USUAL = {"类型": "充值", "收款方式": "现金", "原因": "线下充值"}


def cells(family=None, amount: str = "100.00", note: str | None = None, **changes) -> dict[str, str]:
    """One row: a cash recharge with a note of its own, unless the test says otherwise."""
    usual = dict.fromkeys(bulk_sheet.COLUMNS, "") | USUAL
    usual |= {"金额": amount, "说明": note or f"第 {next(_numbers)} 笔"}
    if family is not None:
        usual["家庭编号"] = str(family.id)
    return usual | changes


def csv_of(rows: list[dict]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, bulk_sheet.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8-sig")


def xlsx_of(rows: list[dict]) -> bytes:
    book, out = Workbook(), io.BytesIO()
    book.active.append(list(bulk_sheet.COLUMNS))
    for row in rows:
        book.active.append([row[name] or None for name in bulk_sheet.COLUMNS])
    book.save(out)
    return out.getvalue()


def read(rows: list[dict]):
    """(lines, errors) of these rows as a sheet gives them."""
    return bulk_sheet.gather([Row(number, row) for number, row in enumerate(rows, 2)])


def draft(staff, rows: list[dict]) -> int:
    lines, errors = read(rows)
    known, unknown = bulk_check.identify(lines)
    assert not errors + unknown, errors + unknown
    number = next(_numbers)
    sheet = StoredSheet(f"bb/{number:040x}", "十一月奖励.xlsx", "text/csv", 100, f"{number:064x}")
    return bulk.draft(sheet=sheet, lines=known, actor=actor_of(staff))


def asked(staff, rows: list[dict], **kwargs) -> int:
    batch_id = draft(staff, rows)
    bulk.ask(batch_id=batch_id, note="十一月老带新奖励", actor=actor_of(staff), **kwargs)
    return batch_id


def approved(asker, approver, rows: list[dict]) -> int:
    """The id of the long job, which nobody has begun."""
    return bulk_decide.approve(batch_id=asked(asker, rows), actor=actor_of(approver))


def run(job_id: int, seconds: float = 60) -> LongJob:
    longjobs.run(job_id, seconds=seconds)
    return job(job_id)


def job(job_id: int) -> LongJob:
    db.session.rollback()
    return db.session.get(LongJob, job_id, populate_existing=True)


def batch(batch_id: int) -> AdjustmentBatch | None:
    db.session.rollback()
    return db.session.get(AdjustmentBatch, batch_id, populate_existing=True)


def results(job_id: int) -> list[tuple]:
    """(number, outcome, code) of every row that was dealt with."""
    db.session.rollback()
    found = sa.select(LongJobRow.number, LongJobRow.outcome, LongJobRow.code).where(LongJobRow.job_id == job_id)
    return [tuple(row) for row in db.session.execute(found.order_by(LongJobRow.number))]


def name_of(family) -> str:
    return db.session.scalar(sa.select(Family.name).where(Family.id == family.id))
