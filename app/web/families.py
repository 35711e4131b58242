"""The family page: who they are, the wallet, and one tab per thing (U3). Tabs are pages and fragments alike."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, request, url_for
from wtforms.fields.choices import SelectChoice

from app.domain.audit import actions
from app.domain.audit import queries as audit_queries
from app.domain.audit.queries import AuditFilter
from app.domain.bookings import staff_queries as bookings_queries
from app.domain.desk import queries as desk_queries
from app.domain.ledger import queries as ledger_queries
from app.domain.orders import desk_queries as order_queries
from app.domain.orders import desk_refunds
from app.domain.outbox import queries as outbox_queries
from app.domain.people import families, family_queries
from app.domain.people.roles import Permission
from app.domain.questions import queries as question_queries
from app.domain.waitlist import queries as waitlist_queries
from app.domain.withdrawals import queries as withdrawal_queries
from app.domain.withdrawals.queries import WithdrawalFilter
from app.web.downloads import Column, Kind, Taking, in_words, labelled, offer
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.forms.families import MemberStatusForm, StudentForm
from app.web.forms_token import request_key
from app.web.labels import LABELS
from app.web.makeups.students import card
from app.web.permissions import can, current_actor, requires
from app.web.rendering import redirect_or_fragment, render, render_form, toast, wants_fragment

bp = Blueprint("families", __name__)


@bp.get("/families/<int:family_id>")
@requires(Permission.FAMILY_VIEW)
def show(family_id: int):
    """The family with its newest transactions."""
    wallet = _wallet(family_id)
    page = ledger_queries.staff_history(
        wallet.id, **_transactions_asked(), before=int_arg("before"), after=int_arg("after")
    )
    return _tab(family_id, "transactions", "families/_transactions.html", page=page, wallet=wallet,
                questions=question_queries.of_family(family_id),
                pages=page_links(page, "families.show", family_id=family_id), args=request.args)  # fmt: skip


@bp.get("/families/<int:family_id>/adjustments")
@requires(Permission.ADJUSTMENT_VIEW)
def adjustments(family_id: int):
    """What staff changed by hand, with receipts, who asked, who approved, why (W16)."""
    page = desk_queries.family_adjustments(family_id, before=int_arg("before"), after=int_arg("after"))
    return _tab(family_id, "adjustments", "desk/_family_adjustments.html", page=page,
                pages=page_links(page, "families.adjustments", family_id=family_id))  # fmt: skip


@bp.get("/families/<int:family_id>/withdrawals")
@requires(Permission.WITHDRAWAL_VIEW)
def withdrawals(family_id: int):
    """What this family asked to have back, and what became of it (W21)."""
    asked = WithdrawalFilter(family_id=family_id)
    page = withdrawal_queries.page(asked, before=int_arg("before"), after=int_arg("after"), limit=20)
    return _tab(family_id, "withdrawals", "withdrawals/_family_withdrawals.html", page=page,
                pages=page_links(page, "families.withdrawals", family_id=family_id))  # fmt: skip


@bp.get("/families/<int:family_id>/bookings")
@requires(Permission.FAMILY_VIEW)
def bookings(family_id: int):
    """Classes ahead, makeup credits that can be used, and every booking before (U3)."""
    page = bookings_queries.past(family_id, before=int_arg("before"), after=int_arg("after"))
    return _tab(family_id, "bookings", "bookings/_family_bookings.html", page=page,
                ahead=bookings_queries.ahead(family_id), open_credits=bookings_queries.open_credits(family_id),
                pages=page_links(page, "families.bookings", family_id=family_id))  # fmt: skip


@bp.get("/families/<int:family_id>/makeups")
@requires(Permission.FAMILY_VIEW)
def makeups(family_id: int):
    """Each student's makeup credits and compensation minutes, with their history (M8, M9)."""
    return _tab(family_id, "makeups", "makeups/_family.html",
                cards=[card(line.id) for line in _sheet(family_id).students])  # fmt: skip


@bp.get("/families/<int:family_id>/waitlist")
@requires(Permission.FAMILY_VIEW)
def waitlist(family_id: int):
    """Every wait for a full class, with its place or how it ended (U3)."""
    return _tab(family_id, "waitlist", "waitlist/_family_waits.html", waits=waitlist_queries.of_family(family_id))


@bp.get("/families/<int:family_id>/orders")
@requires(Permission.ORDER_VIEW)
def orders(family_id: int):
    """Trial orders, and every refund of this family (O17)."""
    page = order_queries.of_family(family_id, before=int_arg("before"), after=int_arg("after"))
    return _tab(family_id, "orders", "orders/_family_orders.html", page=page, refunds=desk_refunds.of_family(family_id),
                pages=page_links(page, "families.orders", family_id=family_id))  # fmt: skip


@bp.get("/families/<int:family_id>/messages")
@requires(Permission.NOTICE_VIEW)
def messages(family_id: int):
    """What this family was told, and whether it arrived."""
    page = outbox_queries.family_messages(family_id, before=int_arg("before"), after=int_arg("after"))
    return _tab(family_id, "messages", "notices/_family_messages.html", page=page,
                pages=page_links(page, "families.messages", family_id=family_id))  # fmt: skip


@bp.get("/families/<int:family_id>/audit")
@requires(Permission.AUDIT_VIEW)
def audit(family_id: int):
    """Every recorded step that concerns this family."""
    page = audit_queries.page(AuditFilter(family_id=family_id), before=int_arg("before"), after=int_arg("after"))
    return _tab(family_id, "audit", "families/_audit.html", page=page, actions=actions,
                pages=page_links(page, "families.audit", family_id=family_id))  # fmt: skip


@bp.post("/families/parents/<int:user_id>/phone")
@requires(Permission.REVEAL)
def reveal_phone(user_id: int):
    """Show a whole phone number against a reason; a POST, since asking is recorded (S2, S8)."""
    phone = families.reveal_phone(user_id=user_id, reason=request.form.get("reason", ""), actor=current_actor())
    return render("families/revealed.html", "families/_revealed.html", text=phone, what="手机号")


@bp.post("/families/students/<int:profile_id>/birthday")
@requires(Permission.REVEAL)
def reveal_birthday(profile_id: int):
    """Show a whole birthday against a reason."""
    reason = request.form.get("reason", "")
    birthday = families.reveal_birthday(profile_id=profile_id, reason=reason, actor=current_actor())
    return render("families/revealed.html", "families/_revealed.html", text=birthday, what="生日")


@bp.route("/families/<int:family_id>/students/<int:profile_id>", methods=["GET", "POST"])
@requires(Permission.FAMILY_EDIT)
def student(family_id: int, profile_id: int):
    """A student's level, notes and status."""
    line = next((s for s in _sheet(family_id).students if s.id == profile_id), None)
    if line is None:
        abort(404)
    form = StudentForm(data={"level_id": line.level_id or "", "notes": line.notes, "status": line.status})
    levels = [SelectChoice(value=str(level_id), label=name) for level_id, name in family_queries.levels()]
    form.level_id.choices = [SelectChoice(value="", label="未定级"), *levels]
    context = {"form": form, "student": line, "family_id": family_id}
    if request.method == "GET":
        return render("families/student.html", "families/_student.html", **context)
    if not form.validate():
        return render_form("families/student.html", "families/_student.html", **context)
    families.update_student(
        profile_id=profile_id, level_id=int(form.level_id.data) if form.level_id.data else None,
        notes=form.notes.data or "", status=form.status.data, actor=current_actor(),
        request_key=request_key("families.student", form),
    )  # fmt: skip
    return toast(redirect_or_fragment(url_for("families.show", family_id=family_id)), f"已保存 {line.name} 的资料")


@bp.route("/families/<int:family_id>/parents/<int:user_id>", methods=["GET", "POST"])
@requires(Permission.FAMILY_EDIT)
def parent(family_id: int, user_id: int):
    """A parent's member status."""
    line = next((p for p in _sheet(family_id).parents if p.id == user_id), None)
    if line is None:
        abort(404)
    form = MemberStatusForm(data={"member_status": line.member_status})
    context = {"form": form, "parent": line, "family_id": family_id}
    if request.method == "GET":
        return render("families/parent.html", "families/_parent.html", **context)
    if not form.validate():
        return render_form("families/parent.html", "families/_parent.html", **context)
    families.set_member_status(
        user_id=user_id, status=form.member_status.data, enrolled_on=form.enrolled_on.data, actor=current_actor(),
        request_key=request_key("families.parent", form),
    )  # fmt: skip
    return toast(redirect_or_fragment(url_for("families.show", family_id=family_id)), f"已保存 {line.name} 的会员状态")


def _transactions_asked() -> dict[str, Any]:
    return {
        "type": choice_arg("type", LABELS["transaction_type"]),
        "date_from": date_arg("from"),
        "date_to": date_arg("to"),
    }


def _sheet(family_id: int):
    sheet = family_queries.family_sheet(family_id)
    if sheet is None:
        abort(404)
    return sheet


def _wallet(family_id: int):
    wallet = ledger_queries.staff_wallet(family_id)
    if wallet is None:
        abort(404)
    return wallet


_TABS = (
    ("transactions", "流水", "families.show", Permission.FAMILY_VIEW),
    ("adjustments", "余额调整", "families.adjustments", Permission.ADJUSTMENT_VIEW),
    ("withdrawals", "提现", "families.withdrawals", Permission.WITHDRAWAL_VIEW),
    ("bookings", "预约", "families.bookings", Permission.FAMILY_VIEW),
    ("waitlist", "候补", "families.waitlist", Permission.FAMILY_VIEW),
    ("makeups", "补课", "families.makeups", Permission.FAMILY_VIEW),
    ("orders", "订单与退款", "families.orders", Permission.ORDER_VIEW),
    ("messages", "消息", "families.messages", Permission.NOTICE_VIEW),
    ("audit", "审计", "families.audit", Permission.AUDIT_VIEW),
)


def _tab(family_id: int, key: str, fragment: str, **context):
    """The whole page with one tab open, or only the tab for htmx."""
    tabs = [
        {"key": name, "label": word, "url": url_for(endpoint, family_id=family_id)}
        for name, word, endpoint, permission in _TABS
        if can(permission)
    ]
    context = {"wallet": context.get("wallet") or _wallet(family_id), **context}
    sheet = _sheet(family_id)
    context["heir"] = family_queries.heir(family_id) if sheet.merged_into else None
    context["absorbed"] = [] if wants_fragment() else family_queries.absorbed(family_id)
    return render("families/show.html", "families/_tab.html", sheet=sheet, tabs=tabs, tab=key,
                  tab_fragment=fragment, family_id=family_id, only_tab=wants_fragment(), **context)  # fmt: skip


# ── as files: the tabs whose lists are the family's own ─────────────────────────────────────────────


def _transactions_taken() -> Taking:
    wallet, asked = _wallet(int_arg("family") or 0), _transactions_asked()
    words = in_words({"family_id": wallet.family_id, **asked}, type="transaction_type")
    return Taking(ledger_queries.every(wallet.id, **asked), words, wallet.family_id)


def _bookings_taken() -> Taking:
    family_id = _wallet(int_arg("family") or 0).family_id
    return Taking(bookings_queries.every(family_id), in_words({"family_id": family_id}), family_id)


def _waits_taken() -> Taking:
    family_id = _wallet(int_arg("family") or 0).family_id
    return Taking(waitlist_queries.of_family(family_id), in_words({"family_id": family_id}), family_id)


offer("transactions", "流水", Permission.FAMILY_VIEW, _transactions_taken, (
    Column("序号", "seq", Kind.NUMBER), Column("时间", "created_at", Kind.TIME),
    labelled("类型", "type", "transaction_type"), Column("说明", "reason"), Column("金额", "amount", Kind.MONEY),
    Column("变动前余额", "balance_before", Kind.MONEY), Column("变动后余额", "balance_after", Kind.MONEY),
    labelled("状态", "status", "transaction_status"), Column("学员", "profile_name"),
    Column("经办", "performed_by_name"), Column("流水号", "id", Kind.NUMBER),
    Column("冲销流水号", "reverses_id", Kind.NUMBER),
))  # fmt: skip
offer("bookings", "预约", Permission.FAMILY_VIEW, _bookings_taken, (
    Column("编号", "id", Kind.NUMBER), Column("上课时间", "session.starts_at", Kind.TIME),
    Column("课程", "session.course_name"), Column("教练", "session.coach_name"),
    Column("场馆", "session.venue_name"), Column("学员", "row.student"), Column("价格", "row.price", Kind.MONEY),
    Column("已退", "row.refunded", Kind.MONEY), labelled("种类", "row.kind", "booking_kind"),
    labelled("来源", "row.source", "booking_source"), labelled("状态", "row.status", "booking_status"),
    Column("预约人", "who_booked"), Column("预约时间", "row.created_at", Kind.TIME), Column("经办", "who_ended"),
    Column("原因", "row.end_reason"),
))  # fmt: skip
offer("family-waits", "家庭候补", Permission.FAMILY_VIEW, _waits_taken, (
    Column("编号", "id", Kind.NUMBER), Column("上课时间", "schedule.starts_at", Kind.TIME),
    Column("课程", "schedule.course_name"), Column("学员", "profile_name"),
    labelled("状态", "status", "waitlist_entry"), Column("位次", "position", Kind.NUMBER),
    Column("加入时间", "joined_at", Kind.TIME), Column("自动确认", "auto_accept", Kind.YES),
    Column("结束时间", "ended_at", Kind.TIME),
))  # fmt: skip
