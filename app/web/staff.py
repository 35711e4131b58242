"""员工与权限: accounts, and the requests that two people decide (P7, P8, S9)."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request, url_for
from wtforms.fields.choices import SelectChoice

from app.domain.people import passwords, queries_staff, role_changes, staff
from app.domain.people.roles import Permission, Role
from app.errors import Conflict, DomainError, Invalid
from app.web import labels
from app.web.downloads import Column, Kind, Taking, labelled, offer
from app.web.errors import status_of
from app.web.forms import refusal
from app.web.forms.staff import EditForm, NewStaffForm, NoteForm, PlainForm, ReasonForm, RoleForm
from app.web.forms_token import request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast, wants_fragment

bp = Blueprint("staff", __name__, url_prefix="/staff")


@bp.get("")
@requires(Permission.STAFF_VIEW)
def index():
    """All accounts, and the requests that wait for a second person."""
    return render("staff/index.html", lines=queries_staff.staff_list(), requests=queries_staff.open_requests(),
                  token=PlainForm())  # fmt: skip


offer("staff", "员工与权限", Permission.STAFF_VIEW, lambda: Taking(queries_staff.staff_list()), (
    Column("编号", "id", Kind.NUMBER), Column("姓名", "display_name"), Column("用户名", "username"),
    labelled("角色", "role", "staff_role"), labelled("状态", "status", "staff_status"),
    Column("已绑定动态验证码", "has_second_factor", Kind.YES), Column("最近登录", "last_seen_at", Kind.TIME),
))  # fmt: skip


@bp.get("/<int:staff_id>")
@requires(Permission.STAFF_VIEW)
def show(staff_id: int):
    """One account with its history of requests."""
    return render("staff/show.html", "staff/_show.html", sheet=_sheet(staff_id),
                  requests=queries_staff.requests_of(staff_id), token=PlainForm())  # fmt: skip


@bp.route("/new", methods=["GET", "POST"])
@requires(Permission.STAFF_EDIT)
def new():
    """A new account with a temporary password, shown once."""
    form = NewStaffForm()
    here = {"title": "新建员工", "act": "建立账号", "here": url_for("staff.new"), "back": url_for("staff.index")}
    if request.method != "POST" or not form.validate():
        return _form(form, **here)
    password = passwords.temporary()
    try:
        made = staff.create(
            username=form.username.data, display_name=form.display_name.data, role=form.role.data,
            password=password, must_change=True, actor=current_actor(),
            request_key=request_key("staff.new", form, present=lambda r: {"location": f"/staff/{r.staff_id}"}),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        return _form(form, error, **here)
    return _temporary_password(made.staff_id, password, made.asked_role)


@bp.route("/<int:staff_id>/edit", methods=["GET", "POST"])
@requires(Permission.STAFF_EDIT)
def edit(staff_id: int):
    """Name, and the family that is the person's own."""
    sheet = _sheet(staff_id)
    form = EditForm(data={"display_name": sheet.display_name, "family_id": sheet.family_id})
    here = _here("修改资料", "保存", "staff.edit", sheet)
    if request.method != "POST" or not form.validate():
        return _form(form, **here)
    try:
        staff.update(
            staff_id=staff_id, display_name=form.display_name.data, family_id=form.family_id.data,
            actor=current_actor(),
        )  # fmt: skip
    except Invalid as error:
        return _form(form, error, **here)
    return _done(staff_id, f"已保存 {form.display_name.data} 的资料")


@bp.route("/<int:staff_id>/role", methods=["GET", "POST"])
@requires(Permission.STAFF_EDIT)
def ask_role(staff_id: int):
    """Ask for another role; a second person decides."""
    sheet = _sheet(staff_id)
    form = RoleForm()
    others = labels.select_choices("staff_role", *(role for role in Role if role != sheet.role))
    form.role.choices = [SelectChoice(value="", label="请选择"), *others]
    text = "提交后由另一位管理员或店长批准，批准后立即生效，并在飞书系统群公示。生效时此人的登录会全部退出。"
    here = _here("申请变更角色", "提交申请", "staff.ask_role", sheet, text=text)
    if request.method != "POST" or not form.validate():
        return _form(form, **here)
    try:
        role_changes.ask(
            staff_id=staff_id, role=form.role.data, reason=form.reason.data, actor=current_actor(),
            request_key=request_key("staff.ask_role", form, present=lambda _id: {"location": f"/staff/{staff_id}"}),
        )  # fmt: skip
    except (Invalid, Conflict) as error:
        return _form(form, error, **here)
    return _done(staff_id, "角色变更申请已提交，等待另一位管理员或店长批准", "waiting")


@bp.route("/<int:staff_id>/disable", methods=["GET", "POST"])
@requires(Permission.STAFF_EDIT)
def disable(staff_id: int):
    """Close an account."""
    sheet = _sheet(staff_id)
    form = ReasonForm()
    text = "停用后不能再登录，现有登录立即退出。经办过的记录全部保留，账号可以重新启用。"
    here = _here("停用账号", f"停用 {sheet.display_name} 的账号", "staff.disable", sheet, text=text, kind="danger")
    if request.method != "POST" or not form.validate():
        return _form(form, **here)
    try:
        staff.disable(staff_id=staff_id, reason=form.reason.data, actor=current_actor())
    except (Invalid, Conflict) as error:
        return _form(form, error, **here)
    return _done(staff_id, f"{sheet.display_name} 的账号已停用")


@bp.post("/<int:staff_id>/enable")
@requires(Permission.STAFF_EDIT)
def enable(staff_id: int):
    """Open a closed account again."""
    sheet = _sheet(staff_id)
    staff.enable(staff_id=staff_id, actor=current_actor())
    return _done(staff_id, f"{sheet.display_name} 的账号已重新启用")


@bp.route("/<int:staff_id>/password", methods=["GET", "POST"])
@requires(Permission.STAFF_EDIT)
def reset_password(staff_id: int):
    """A temporary password for someone who forgot theirs, shown once."""
    sheet = _sheet(staff_id)
    form = PlainForm()
    text = "将生成一个只显示一次的临时密码，请当面或电话告诉本人。现有登录立即退出，动态验证码保持不变。"
    here = _here(
        "重置密码", f"重置 {sheet.display_name} 的密码", "staff.reset_password", sheet, text=text, kind="danger"
    )
    if request.method != "POST" or not form.validate():
        return _form(form, **here)
    password = passwords.temporary()
    key = request_key("staff.reset_password", form, present=lambda _none: {"location": f"/staff/{staff_id}"})
    staff.reset_password(staff_id=staff_id, password=password, actor=current_actor(), request_key=key)
    return _temporary_password(staff_id, password, None)


@bp.route("/<int:staff_id>/second-factor", methods=["GET", "POST"])
@requires(Permission.STAFF_EDIT)
def reset_second_factor(staff_id: int):
    """Take away a lost second factor; for a role that moves money this asks a second person."""
    sheet = _sheet(staff_id)
    form = ReasonForm()
    text = "请先核实本人确实无法使用验证器和恢复码。财务、店长的重置需要另一位管理员或店长批准。"
    here = _here("重置动态验证码", "重置动态验证码", "staff.reset_second_factor", sheet, text=text, kind="danger")
    if request.method != "POST" or not form.validate():
        return _form(form, **here)
    try:
        asked = staff.reset_second_factor(staff_id=staff_id, reason=form.reason.data, actor=current_actor())
    except (Invalid, Conflict) as error:
        return _form(form, error, **here)
    if asked:
        return _done(staff_id, "重置申请已提交，等待另一位管理员或店长批准", "waiting")
    return _done(staff_id, f"{sheet.display_name} 的动态验证码已重置")


# ── the second person ───────────────────────────────────────────────────────────────────────────────


@bp.post("/requests/<int:request_id>/approve")
@requires(Permission.ROLE_APPROVE)
def approve(request_id: int):
    """Put a request in force."""
    staff_id = role_changes.approve(request_id=request_id, note="", actor=current_actor())
    return _done(staff_id, "申请已批准，立即生效；此人的登录已全部退出")


@bp.route("/requests/<int:request_id>/reject", methods=["GET", "POST"])
@requires(Permission.ROLE_APPROVE)
def reject(request_id: int):
    """Refuse a request, with a reason."""
    line = next((r for r in queries_staff.open_requests() if r.id == request_id), None)
    if line is None:
        abort(404)
    form = NoteForm()
    here = {"title": "驳回申请", "act": f"驳回 {line.display_name} 的申请", "kind": "danger", "sub": line.display_name,
            "here": url_for("staff.reject", request_id=request_id), "back": url_for("staff.index")}  # fmt: skip
    if request.method != "POST" or not form.validate():
        return _form(form, **here)
    try:
        role_changes.reject(request_id=request_id, note=form.note.data, actor=current_actor())
    except (Invalid, Conflict) as error:
        return _form(form, error, **here)
    return _done(line.staff_id, "申请已驳回")


@bp.post("/requests/<int:request_id>/withdraw")
@requires(Permission.STAFF_EDIT)
def withdraw(request_id: int):
    """Take one's own request back."""
    return _done(role_changes.withdraw(request_id=request_id, actor=current_actor()), "申请已撤回")


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _sheet(staff_id: int) -> queries_staff.StaffSheet:
    sheet = queries_staff.staff_sheet(staff_id)
    if sheet is None:
        abort(404)
    return sheet


def _here(title: str, act: str, endpoint: str, sheet: queries_staff.StaffSheet, **more: str) -> dict[str, str]:
    """What the form page and panel say around the fields."""
    return {
        "title": title,
        "act": act,
        "here": url_for(endpoint, staff_id=sheet.id),
        "back": url_for("staff.show", staff_id=sheet.id),
        "sub": f"{sheet.display_name}（{sheet.username}）",
        **more,
    }


def _form(form, error: DomainError | None = None, **context) -> Response:
    """The form as a page or panel; refused, with the sentences at their fields."""
    if error is not None:
        refusal.take(form, error)
    status = status_of(error) if error else 422 if request.method == "POST" else 200
    return render("staff/form.html", "staff/_form.html", status=status, form=form, **context)


def _done(staff_id: int, sentence: str, kind: str = "good") -> Response:
    return toast(hx_redirect(url_for("staff.show", staff_id=staff_id)), sentence, kind)


def _temporary_password(staff_id: int, password: str, asked_role: str | None) -> Response:
    # Not a redirect: the password is in this one answer and nowhere else.
    response = render("staff/password.html", "staff/_password.html", sheet=_sheet(staff_id), password=password,
                      asked_role=asked_role)  # fmt: skip
    if wants_fragment():
        response.headers["HX-Push-Url"] = "false"
    return response
