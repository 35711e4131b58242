"""后台任务: long work, how far it is, stopped and let go on by people (U11)."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, abort, make_response, request, url_for

from app.db import db
from app.domain.audit import actions
from app.domain.audit import queries as audit_queries
from app.domain.chosen import queries as chosen
from app.domain.desk import bulk_queries
from app.domain.exporting import service as exporting
from app.domain.ledger import verify_job
from app.domain.longjobs import queries, service
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError
from app.exports.columns import Column, Kind
from app.flows import longjobs
from app.web.downloads import Taking, labelled, offer
from app.web.errors import status_of
from app.web.filter_args import choice_arg, int_arg, page_links
from app.web.forms_token import TokenForm, request_key
from app.web.labels import LABELS
from app.web.permissions import current_actor, requires
from app.web.rendering import redirect_or_fragment, render, toast, trigger, wants_fragment

bp = Blueprint("longjobs", __name__)

#: browsers are told when a job moved on, so that what stands beside its progress looks again
CHANGED = "desk:job-changed"
#: chosen rows whose result a job's page shows; all of them are in the file
RESULTS = 200


@bp.get("/long-jobs")
@requires(Permission.JOB_VIEW)
def index():
    """Every piece of long work, the newest first."""
    status = choice_arg("status", LABELS["long_job_status"])
    page = queries.page(status=status, before=int_arg("before"), after=int_arg("after"))
    return render("longjobs/index.html", "longjobs/_list.html", page=page, asked=status,
                  pages=page_links(page, "longjobs.index"))  # fmt: skip


@bp.get("/long-jobs/<int:job_id>")
@requires(Permission.JOB_VIEW)
def show(job_id: int):
    """One job. While it runs the page asks for itself with the revision that it shows, and gets 204 when that is the
    newest; without script it is read again by reloading."""
    context = _context(job_id)
    if request.headers.get("HX-Target") == "job-results":
        return render("longjobs/job.html", "longjobs/_results.html", **context)
    if wants_fragment() and request.args.get("revision") == context["job"].revision:
        return make_response("", 204)
    return trigger(render("longjobs/job.html", "longjobs/_progress.html", **context), CHANGED)


@bp.post("/long-jobs/<int:job_id>/cancel")
@requires(Permission.JOB_STOP)
def cancel(job_id: int):
    """Stop after the row that runs now."""
    return _acted(job_id, "已取消，没有执行的行保持不变", lambda form: service.cancel(
        job_id=job_id, actor=current_actor(), request_key=request_key("longjobs.cancel", form),
    ))  # fmt: skip


@bp.post("/long-jobs/<int:job_id>/resume")
@requires(Permission.JOB_STOP)
def resume(job_id: int):
    """Let one that stopped at a broken row go on."""

    def act(form: TokenForm) -> None:
        service.resume(job_id=job_id, actor=current_actor(), request_key=request_key("longjobs.resume", form))
        longjobs.start(job_id, "resumed")

    return _acted(job_id, "已继续", act)


def _acted(job_id: int, said: str, act: Callable[[TokenForm], None]) -> Response:
    try:
        act(TokenForm())
    except Conflict as error:
        db.session.rollback()
        return render("longjobs/job.html", "longjobs/_progress.html", status=status_of(error),
                      **_context(job_id, error))  # fmt: skip
    answer = redirect_or_fragment(
        url_for("longjobs.show", job_id=job_id), "longjobs/_progress.html", **_context(job_id)
    )
    return toast(trigger(answer, CHANGED), said)


def _context(job_id: int, error: DomainError | None = None) -> dict:
    """What a job's templates need. Aborts with 404 for one that does not exist."""
    job = queries.progress(job_id)
    if job is None:
        abort(404)
    action = chosen.action_of(job.row)
    return {
        "export": exporting.file_of(job.row),
        "verified": job.row.params.get("result") if job.row.kind == verify_job.KIND else None,
        "chosen": action, "results": chosen.results(job.row, RESULTS) if action else [],
        "job": job, "error": error, "refused": queries.refused(job_id), "batch_id": bulk_queries.of_job(job_id),
        "history": audit_queries.of_target("long_job", job_id), "actions": actions,
    }  # fmt: skip


def _taken() -> Taking:
    status = choice_arg("status", LABELS["long_job_status"])
    return Taking(queries.every(status), {"状态": LABELS["long_job_status"][status].word} if status else {})


def _rows_taken() -> Taking:
    job_id = int_arg("job")
    return Taking(queries.every_row(job_id or 0), {"任务": f"#{job_id}"} if job_id else {})


offer("long-jobs", "后台任务", Permission.JOB_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("任务", "title"), labelled("状态", "status", "long_job_status"),
    Column("总行数", "total", Kind.NUMBER), Column("完成", "done", Kind.NUMBER), Column("被拒", "refused", Kind.NUMBER),
    Column("未执行", lambda row: row.total - row.checkpoint, Kind.NUMBER), Column("开始", "started_at", Kind.TIME),
    Column("结束", "finished_at", Kind.TIME), Column("中断原因", "error"),
))  # fmt: skip
offer("long-job-rows", "后台任务明细", Permission.JOB_VIEW, _rows_taken, (
    Column("序号", "number", Kind.NUMBER), labelled("结果", "outcome", "row_outcome"), Column("代码", "code"),
    Column("原因", "message"), Column("产生的记录", "made_id", Kind.NUMBER), Column("时间", "created_at", Kind.TIME),
))  # fmt: skip
