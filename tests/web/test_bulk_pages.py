"""批量调整 and 后台任务 over HTTP: upload with errors in place, preview, ask, approve, progress, results, files."""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
from datetime import timedelta
from decimal import Decimal

import pytest
from openpyxl import load_workbook

from app import clock, config, sheets, vault
from app.db import db
from app.domain.desk import bulk_decide, bulk_queries, bulk_run, bulk_sheet
from app.domain.desk.bulk_models import AdjustmentBatch
from app.domain.longjobs import service
from app.domain.longjobs.models import LongJob
from app.flows import longjobs, receipts
from tests.domain.desk.batches import approved, asked, batch, cells, csv_of, draft, job, results, run, xlsx_of
from tests.domain.desk.desk import balance, movements
from tests.factories import make_family
from tests.portal import Browser

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.fixture
def store(app, tmp_path, monkeypatch):
    folder = tmp_path / "receipts"
    settings = dataclasses.replace(config.current(), storage_url=f"file:{folder}")
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    return folder


@pytest.fixture
def clerk(app, store):
    return Browser(app).sign_in("finance")


@pytest.fixture
def manager(app, store):
    return Browser(app).sign_in("manager")


def text(response) -> str:
    return response.get_data(as_text=True)


def upload(browser, data: bytes, name: str = "十一月.csv", **fields):
    return browser.post("/adjustments/batches/new", {"sheet": (io.BytesIO(data), name), **fields},
                        content_type="multipart/form-data")  # fmt: skip


def number_of(answer) -> int:
    assert answer.status_code == 303, text(answer)[:500]
    return int(re.fullmatch(r"/adjustments/batches/(\d+)", answer.location).group(1))


def stored(folder) -> list:
    return [path for path in folder.rglob("*") if path.is_file()]


def batches() -> int:
    db.session.rollback()
    return db.session.query(AdjustmentBatch).count()


# ── the whole way ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [csv_of, xlsx_of])
def test_from_the_sheet_to_the_money(clerk, manager, store, make):
    one, two = make_family(phone="13700001234", balance="10.00"), make_family(parent="独一无二的李女士")
    rows = [cells(手机号="13700001234", amount="500", note="甲"),
            cells(two, "-30.50", 类型="纠错", 原因="金额录错", 收款方式="无", note="乙")]  # fmt: skip
    data = make(rows)
    batch_id = number_of(upload(clerk, data))
    page = text(clerk.get(f"/adjustments/batches/{batch_id}"))
    for words in ("2 个家庭", "¥500.00", "¥30.50", "+¥469.50", "提交审批，2 笔", "独一无二的李女士"):
        assert words in page, words
    assert manager.get(f"/adjustments/batches/{batch_id}").status_code == 404
    assert (balance(one), stored(store)[0].read_bytes().count(data[:40])) == (Decimal("10.00"), 0)
    assert clerk.post(f"/adjustments/batches/{batch_id}/ask", {"note": "活动"}).status_code == 303
    assert "批准，2 笔" not in text(clerk.get(f"/adjustments/batches/{batch_id}"))
    url = f"/adjustments/batches/{batch_id}/approve"
    assert "批准，2 笔" in text(manager.get(f"/adjustments/batches/{batch_id}"))
    unconfirmed = manager.post(url)
    assert (unconfirmed.status_code, "desk-dialog" in text(unconfirmed)) == (200, True)
    wrong = manager.post(url, {"confirmed": "1", "typed_amount": "530.51"})
    assert (wrong.status_code, "不一致" in text(wrong), batch(batch_id).status) == (422, True, "asked")
    assert manager.post(url, {"confirmed": "1", "typed_amount": "530.50"}).status_code == 303
    running = text(manager.get(f"/adjustments/batches/{batch_id}"))
    assert "0 / 2 行" in running
    assert "取消任务" in running
    assert run(batch(batch_id).job_id).done == 2
    done = text(clerk.get(f"/adjustments/batches/{batch_id}"))
    assert "2 / 2 行" in done
    assert "实际入账 ¥500.00" in done
    assert (balance(one), balance(two)) == (Decimal("510.00"), Decimal("-30.50"))
    back = manager.get(f"/adjustments/batches/{batch_id}/sheet")
    assert back.get_data() == data
    assert back.headers["Content-Disposition"].startswith("attachment")
    assert back.headers["Content-Security-Policy"].startswith("sandbox")
    assert back.headers["Content-Type"] == (XLSX if make is xlsx_of else "text/csv")
    adjustment = text(clerk.get("/adjustments"))
    assert "批准：" in adjustment


def test_an_altered_or_missing_sheet_is_said(clerk, store):
    batch_id = number_of(upload(clerk, csv_of([cells(make_family())])))
    path = stored(store)[0]
    path.write_bytes(vault.seal(b"another sheet", receipts.PURPOSE))
    assert clerk.get(f"/adjustments/batches/{batch_id}/sheet").status_code == 503
    path.unlink()
    assert clerk.get(f"/adjustments/batches/{batch_id}/sheet").status_code == 503
    assert clerk.get("/adjustments/batches/999999/sheet").status_code == 404


def test_the_sheet_outlives_the_sweep_and_a_discarded_one_does_not(clerk, store):
    kept = number_of(upload(clerk, csv_of([cells(make_family())])))
    gone = number_of(upload(clerk, csv_of([cells(make_family())])))
    assert clerk.post(f"/adjustments/batches/{gone}/discard").location == "/adjustments/batches"
    with clock.travel(by=timedelta(hours=25)):
        assert receipts.sweep_orphans() == 1
    assert len(stored(store)) == 1
    assert clerk.get(f"/adjustments/batches/{kept}/sheet").status_code == 200


# ── sheets that are wrong ───────────────────────────────────────────────────────────────────────────


def test_errors_stand_in_place_and_nothing_is_kept(clerk, store):
    family = make_family()
    rows = [cells(family), cells(family, "abc"), cells(家庭编号="99999999", note="<script>alert(1)</script>"),
            cells(family, 类型="=1+1")]  # fmt: skip
    answer = upload(clerk, csv_of(rows))
    page = text(answer)
    assert answer.status_code == 422
    for words in ("3 处需要改", "两位小数", "没有这个编号的家庭", "单元格是公式", "&lt;script&gt;", ">abc<"):
        assert words in page, words
    assert "<script>alert" not in page
    assert page.count('class="is-wrong"') == 3
    assert (stored(store), batches()) == ([], 0)


def _bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (sheets.MAX_UNPACKED + 1))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "请选择表格文件|空文件"),
        ("家庭,金额\n甲,1".encode(), "缺少这一列"),
        ("家庭编号,金额".encode("gbk"), "不是 UTF-8"),
        (b"PK\x03\x04 broken", "不是完好的 xlsx"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, "不是 UTF-8"),
        (csv_of([]), "没有可以办理的行"),
        (b"x" * 400_001, "超过 0.38 MB"),
        (_bomb, "展开后太大"),
    ],
    ids=["empty", "columns", "gbk", "broken", "picture", "head", "large", "bomb"],
)
def test_what_is_no_sheet_is_refused(clerk, store, data, words, monkeypatch):
    monkeypatch.setattr(bulk_sheet, "MAX_BYTES", 400_000)
    answer = upload(clerk, data() if callable(data) else data)
    assert answer.status_code == 422
    assert re.search(words, text(answer)), text(answer)[-3000:]
    assert (stored(store), batches()) == ([], 0)


def test_too_many_rows(clerk, store, monkeypatch):
    monkeypatch.setattr(bulk_sheet, "MAX_ROWS", 3)
    family = make_family()
    answer = upload(clerk, csv_of([cells(family) for _ in range(4)]))
    assert (answer.status_code, "超过 3 行" in text(answer), batches()) == (422, True, 0)


def test_one_upload_twice_is_one_batch(clerk, store):
    data, token = csv_of([cells(make_family())]), "ab" * 16
    first = upload(clerk, data, request_token=token)
    again = upload(clerk, data, request_token=token)
    assert (again.status_code, again.location, batches()) == (303, first.location, 1)


def test_a_store_that_is_away_keeps_nothing(clerk, store):
    store.parent.mkdir(exist_ok=True)
    store.write_text("a file where the folder should be")
    answer = upload(clerk, csv_of([cells(make_family())]))
    assert (answer.status_code, batches()) == (503, 0)
    assert "暂时无法保存" in text(answer)


def test_the_template_can_be_filled_in_and_uploaded(clerk, store):
    family = make_family()
    file = clerk.get("/adjustments/batches/template")
    book = load_workbook(io.BytesIO(file.get_data()))
    assert [cell.value for cell in book.worksheets[0][1]] == list(bulk_sheet.COLUMNS)
    row = cells(family, "12.30")
    book.worksheets[0].append([row[name] for name in bulk_sheet.COLUMNS])
    out = io.BytesIO()
    book.save(out)
    assert batch(number_of(upload(clerk, out.getvalue(), "填好.xlsx"))).rows_count == 1


def test_the_form_and_no_file(clerk, store):
    assert "下载模板" in text(clerk.get("/adjustments/batches/new"))
    assert clerk.post("/adjustments/batches/new").status_code == 422


# ── deciding ────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_refused_keeps_the_page(clerk, manager):
    batch_id = draft(clerk.staff, [cells(make_family())])
    empty = clerk.post(f"/adjustments/batches/{batch_id}/ask", {"note": " "})
    assert (empty.status_code, "请填写这批调整是什么" in text(empty)) == (422, True)
    clerk.post(f"/adjustments/batches/{batch_id}/ask", {"note": "活动"})
    rejected = manager.htmx(f"/adjustments/batches/{batch_id}/reject", {"reason": ""})
    assert (rejected.status_code, "请填写原因" in text(rejected)) == (422, True)
    assert 'id="batch"' in text(rejected)
    assert "<html" not in text(rejected)
    manager.post(f"/adjustments/batches/{batch_id}/reject", {"reason": "金额不对"})
    again = clerk.post(f"/adjustments/batches/{batch_id}/withdraw", {"reason": "算了"})
    assert (again.status_code, "已被驳回" in text(again)) == (409, True)
    assert "金额不对" in text(clerk.get(f"/adjustments/batches/{batch_id}"))


def test_the_same_sheet_again_says_so_and_wants_a_reason(clerk, manager):
    rows = [cells(make_family(), note="同一张")]
    first = asked(manager.staff, rows)
    again = draft(clerk.staff, rows)
    page = text(clerk.get(f"/adjustments/batches/{again}"))
    assert f"#{first} 还没有办完" in page
    assert "提交审批，" not in page
    typed = {"confirmed": "1", "typed_amount": "100.00"}
    assert clerk.post(f"/adjustments/batches/{first}/approve", typed).status_code == 303
    run(batch(first).job_id)
    page = text(clerk.get(f"/adjustments/batches/{again}"))
    assert f"#{first} 已经办理过" in page
    assert 'name="repeat_reason"' in page
    refused = clerk.post(f"/adjustments/batches/{again}/ask", {"note": "又一次"})
    assert refused.status_code == 422
    done = clerk.post(f"/adjustments/batches/{again}/ask", {"note": "又一次", "repeat_reason": "每月一次"})
    assert done.status_code == 303
    assert "每月一次" in text(manager.get(f"/adjustments/batches/{again}"))


def test_one_approval_sent_twice_begins_one_job(clerk, manager):
    batch_id = asked(clerk.staff, [cells(make_family())])
    data = {"confirmed": "1", "typed_amount": "100.00", "request_token": "cd" * 16}
    one = manager.post(f"/adjustments/batches/{batch_id}/approve", data)
    two = manager.post(f"/adjustments/batches/{batch_id}/approve", data)
    assert (one.status_code, two.status_code, db.session.query(LongJob).count()) == (303, 303, 1)


@pytest.mark.parametrize("typed", ["", "1e2", "NaN", "١٠٠", "9" * 40, "-100.00", "100.0.0"])
def test_what_is_typed_must_be_the_sum(clerk, manager, typed):
    batch_id = asked(clerk.staff, [cells(make_family())])
    answer = manager.post(f"/adjustments/batches/{batch_id}/approve", {"confirmed": "1", "typed_amount": typed})
    assert (answer.status_code, batch(batch_id).status) == (422, "asked")


# ── lists, progress, results ────────────────────────────────────────────────────────────────────────


def test_lists_say_what_is_there(clerk, manager):
    assert "还没有批量调整" in text(clerk.get("/adjustments/batches"))
    assert "还没有后台任务" in text(clerk.get("/long-jobs"))
    mine = draft(clerk.staff, [cells(make_family())])
    waits = asked(clerk.staff, [cells(make_family())])
    assert f"/adjustments/batches/{mine}" in text(clerk.get("/adjustments/batches"))
    theirs = text(manager.get("/adjustments/batches"))
    assert f'/adjustments/batches/{waits}"' in theirs
    assert f'/adjustments/batches/{mine}"' not in theirs
    assert "没有符合条件" in text(manager.get("/adjustments/batches?status=lapsed"))
    front = Browser(manager.app).sign_in("front_desk")
    assert "上传表格" not in text(front.get("/adjustments/batches"))


def test_progress_polls_by_revision_and_cancels(clerk, manager):
    family = make_family()
    job_id = approved(clerk.staff, manager.staff, [cells(family) for _ in range(5)])
    longjobs.run(job_id, seconds=0)
    page = text(manager.get(f"/long-jobs/{job_id}"))
    revision = re.search(r"revision=([\w.]+)", page).group(1)
    assert "data-live" in page
    assert manager.htmx(f"/long-jobs/{job_id}?revision={revision}").status_code == 204
    assert service.take(job_id=job_id, owner="w")
    bulk_run.do_row(job_id=job_id, owner="w")
    fresh = manager.htmx(f"/long-jobs/{job_id}?revision={revision}")
    assert (fresh.status_code, "1 / 5 行" in text(fresh)) == (200, True)
    assert "desk:job-changed" in fresh.headers["HX-Trigger"]
    front = Browser(manager.app).sign_in("front_desk")
    assert "取消任务" not in text(front.get(f"/long-jobs/{job_id}"))
    assert front.post(f"/long-jobs/{job_id}/cancel").status_code == 403
    done = manager.htmx(f"/long-jobs/{job_id}/cancel", {})
    assert "已取消" in text(done)
    assert "data-live" not in text(done)
    again = manager.post(f"/long-jobs/{job_id}/cancel")
    assert (again.status_code, "已经取消" in text(again)) == (409, True)
    assert (movements(family), job(job_id).checkpoint) == (1, 1)
    assert manager.get("/long-jobs/999999").status_code == 404
    shown = text(manager.get(f"/adjustments/batches/{job(job_id).params['batch_id']}?rows=untouched"))
    assert shown.count("未执行</span>") == 4


def test_a_failed_job_goes_on_by_hand(clerk, manager, monkeypatch):
    job_id = approved(clerk.staff, manager.staff, [cells(make_family())])

    def broken(**_kwargs):
        raise KeyError("boom")

    step = longjobs.STEPS[bulk_decide.KIND]
    monkeypatch.setitem(longjobs.STEPS, bulk_decide.KIND, broken)
    run(job_id)
    page = text(manager.get(f"/long-jobs/{job_id}"))
    assert "在第 1 行中断" in page
    monkeypatch.setitem(longjobs.STEPS, bulk_decide.KIND, step)
    assert manager.post(f"/long-jobs/{job_id}/resume").status_code == 303
    assert run(job_id).done == 1


def test_results_as_a_file_are_a_sheet_again(clerk, manager):
    rich, poor = make_family(), make_family()
    rows = [cells(rich, "5", note="甲"), cells(poor, "-2000", 类型="纠错", 原因="金额录错", 收款方式="无", note="乙")]
    job_id = approved(clerk.staff, manager.staff, rows)
    run(job_id)
    batch_id = job(job_id).params["batch_id"]
    assert [outcome for _, outcome, _ in results(job_id)] == ["done", "refused"]
    page = text(manager.get(f"/adjustments/batches/{batch_id}?rows=refused"))
    assert "余额不足" in page
    taken = text(manager.post(f"/exports/batch-rows?batch={batch_id}&rows=refused", {"format": "csv"}))
    head, row = taken.lstrip("\ufeff").splitlines()[:2]
    assert head.startswith(",".join(bulk_sheet.COLUMNS))
    assert "-2000.00" in row
    assert "余额不足" in row
    again = upload(clerk, "\n".join([head, row]).encode())
    assert batch(number_of(again)).rows_count == 1
    jobs = text(manager.post(f"/exports/long-job-rows?job={job_id}", {"format": "csv"}))
    assert "OVERDRAFT_LIMIT_EXCEEDED" in jobs
    assert "批量调整" in text(manager.post("/exports/long-jobs?status=done", {"format": "csv"}))
    assert "已批准" in text(manager.post("/exports/batches?status=approved", {"format": "csv"}))
    assert manager.post("/exports/batch-rows", {"format": "csv"}).status_code == 200
    assert "余额不足" in text(manager.get(f"/long-jobs/{job_id}"))


def test_a_waiting_batch_is_on_the_approvals_page_and_its_rows_name_it(clerk, manager):
    batch_id = asked(clerk.staff, [cells(make_family())])
    assert "1 批批量调整等待审批" in text(manager.get("/approvals"))
    assert "批批量调整等待审批" not in text(clerk.get("/approvals")), "one's own is for somebody else"
    manager.post(f"/adjustments/batches/{batch_id}/approve", {"confirmed": "1", "typed_amount": "100.00"})
    run(batch(batch_id).job_id)
    made = bulk_queries.rows(batch_id, batch(batch_id).job_id).items[0].made_id
    page = text(manager.get(f"/adjustments/{made}"))
    assert f"/adjustments/batches/{batch_id}" in page
    assert "还没有凭证" not in page
