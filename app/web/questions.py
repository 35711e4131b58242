"""流水疑问: what parents ask about a transaction, what waits longest first, and the answer (W28)."""

from __future__ import annotations

from flask import Blueprint, abort, url_for

from app.domain.audit import actions
from app.domain.people.roles import Permission
from app.domain.questions import queries, service
from app.domain.questions.models import QuestionStatus
from app.domain.questions.queries import QuestionFilter
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.forms.orders import NoteForm
from app.web.forms_token import request_key
from app.web.labels import LABELS
from app.web.orders.deciding import decided
from app.web.permissions import current_actor, requires
from app.web.rendering import render

bp = Blueprint("questions", __name__)

#: browsers are told when a question was answered, so that lists behind the side panel look again
CHANGED = "desk:question-changed"


@bp.get("/questions")
@requires(Permission.FAMILY_VIEW)
def index():
    """What waits, the longest first; what was answered under its filter."""
    asked = _asked()
    page = queries.page(asked, before=int_arg("before"), after=int_arg("after"))
    return render("questions/index.html", "questions/_list.html", page=page, asked=asked,
                  pages=page_links(page, "questions.index"), filtered=asked != QuestionFilter())  # fmt: skip


@bp.get("/questions/<int:question_id>")
@requires(Permission.FAMILY_VIEW)
def show(question_id: int):
    """One question with its transaction, and the answer or its form."""
    return render("questions/question.html", "questions/_panel.html", **_context(question_id))


@bp.post("/questions/<int:question_id>/answer")
@requires(Permission.QUESTION_ANSWER)
def answer(question_id: int):
    """Answer it; the parent reads it in the mini program."""
    form = NoteForm()

    def reply() -> str:
        service.answer(question_id=question_id, text=form.note.data or "", actor=current_actor(),
                       request_key=request_key("questions.answer", form))  # fmt: skip
        return "已答复，家长会在小程序消息里看到"

    _context(question_id)
    return decided(
        reply, lambda: _context(question_id), url=url_for("questions.show", question_id=question_id),
        page="questions/question.html", fragment="questions/_question.html", changed=CHANGED, form=form,
    )  # fmt: skip


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _asked() -> QuestionFilter:
    return QuestionFilter(
        status=choice_arg("status", LABELS["question_status"]) or QuestionStatus.OPEN, family_id=int_arg("family"),
        date_from=date_arg("from"), date_to=date_arg("to"),
    )  # fmt: skip


def _context(question_id: int) -> dict:
    detail = queries.detail(question_id)
    if detail is None:
        abort(404)
    return {"row": detail.row, "history": detail.history, "actions": actions, "form": NoteForm(formdata=None),
            "error": None}  # fmt: skip


def _taken() -> Taking:
    asked = _asked()
    return Taking(queries.every(asked), in_words(asked, status="question_status"), asked.family_id)


offer("questions", "流水疑问", Permission.FAMILY_VIEW, _taken, (
    Column("编号", "id", Kind.NUMBER), Column("提出时间", "asked_at", Kind.TIME),
    Column("家庭编号", "family_id", Kind.NUMBER), Column("家庭", "family_name"), Column("家长", "parent_name"),
    Column("流水号", "transaction_id", Kind.NUMBER), labelled("类型", "type", "transaction_type"),
    Column("金额", "amount", Kind.MONEY), Column("流水时间", "moved_at", Kind.TIME), Column("疑问", "text"),
    labelled("状态", "status", "question_status"), Column("答复", "answer"), Column("答复人", "answered_by_name"),
    Column("答复时间", "answered_at", Kind.TIME),
))  # fmt: skip
