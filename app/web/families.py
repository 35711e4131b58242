"""The family page: who they are, the wallet, and one tab per thing (U3). Tabs are pages and fragments alike."""

from __future__ import annotations

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
from app.domain.waitlist import queries as waitlist_queries
from app.web.filter_args import choice_arg, date_arg, int_arg, page_links
from app.web.forms.families import MemberStatusForm, StudentForm
from app.domain.withdrawals import queries as withdrawal_queries
from app.domain.withdrawals.queries import WithdrawalFilter
from app.web.forms_token import request_key
from app.web.labels import LABELS
from app.web.permissions import can, current_actor, requires
from app.web.rendering import redirect_or_fragment, render, render_form, toast, wants_fragment

bp = Blueprint("families", __name__)


@bp.get("/families/<int:family_id>")
@requires(Permission.FAMILY_VIEW)
def show(family_id: int):
    """The family with its newest transactions."""
    wallet = _wallet(family_id)
    page = ledger_queries.staff_history(
        wallet.id,
        type=choice_arg("type", LABELS["transaction_type"]),
        date_from=date_arg("from"),
        date_to=date_arg("to"),
        before=int_arg("before"),
        after=int_arg("after"),
    )
    return _tab(family_id, "transactions", "families/_transactions.html", page=page, wallet=wallet,
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
    ("bookings", "预约", "families.bookings", Permission.FAMILY_VIEW),
    ("waitlist", "候补", "families.waitlist", Permission.FAMILY_VIEW),
    ("orders", "订单与退款", "families.orders", Permission.ORDER_VIEW),
    ("messages", "消息", "families.messages", Permission.NOTICE_VIEW),
    ("audit", "审计", "families.audit", Permission.AUDIT_VIEW),
)
    ("withdrawals", "提现", "families.withdrawals", Permission.WITHDRAWAL_VIEW),


def _tab(family_id: int, key: str, fragment: str, **context):
    """The whole page with one tab open, or only the tab for htmx."""
    tabs = [
        {"key": name, "label": word, "url": url_for(endpoint, family_id=family_id)}
        for name, word, endpoint, permission in _TABS
        if can(permission)
    ]
    context.setdefault("wallet", _wallet(family_id))
    sheet = _sheet(family_id)
    context["heir"] = family_queries.heir(family_id) if sheet.merged_into else None
    context["absorbed"] = [] if wants_fragment() else family_queries.absorbed(family_id)
    return render("families/show.html", "families/_tab.html", sheet=sheet, tabs=tabs, tab=key,
                  tab_fragment=fragment, family_id=family_id, only_tab=wants_fragment(), **context)  # fmt: skip
