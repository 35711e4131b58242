"""账号与安全: one's own password, second factor, sign-ins and theme. Nobody else's."""

from __future__ import annotations

from io import BytesIO

import segno
from flask import Blueprint, Response, abort, redirect, request, session, url_for

from app import config
from app.domain.people import queries_staff, sessions, sign_in, totp
from app.domain.people.attempts import LockedOut
from app.domain.people.roles import MONEY_ROLES, Permission
from app.domain.policy import service as policy
from app.errors import Invalid, Unavailable
from app.web.context import THEME_COOKIE, THEMES
from app.web.errors import status_of
from app.web.forms import refusal
from app.web.forms.account import ConfirmCodeForm, PasswordForm
from app.web.permissions import current_actor, current_person, open_session, requires
from app.web.rendering import hx_redirect, render, toast, url_if
from app.web.wording import device_words, spelled

bp = Blueprint("account", __name__, url_prefix="/account")


@bp.get("")
@requires(Permission.HOME)
def index():
    """Everything about one's own account on one page."""
    person = current_person()
    must_keep = person.role in MONEY_ROLES and policy.get("totp_required")
    return render(
        "account/index.html",
        person=person, devices=device_words, may_remove=person.has_second_factor and not must_keep,
        sessions=queries_staff.live_sessions(person.staff_id),
        codes_left=totp.recovery_codes_left(person.staff_id) if person.has_second_factor else 0,
        idle=spelled(policy.get("staff_idle_timeout")), longest=spelled(policy.get("staff_session_ttl")),
    )  # fmt: skip


@bp.route("/password", methods=["GET", "POST"])
@requires(Permission.HOME, during_setup=True)
def password():
    """Change one's own password; after a temporary one nothing else is open before that."""
    person, form = current_person(), PasswordForm()
    context = {"form": form, "person": person, "setup": person.must_change_password}
    if request.method != "POST":
        return render("account/password.html", **context)
    if not form.validate():
        return render("account/password.html", status=422, **context)
    try:
        token = sign_in.change_password(
            current=form.current.data, new=form.password.data, session_id=person.session_id, actor=current_actor(),
            count_address=config.current().rate_limits,
        )  # fmt: skip
    except (Invalid, LockedOut, Unavailable) as error:
        refusal.take(form, error)
        return render("account/password.html", status=status_of(error), **context)
    open_session(token)
    where = (url_if("home.today") if person.must_change_password else None) or url_for("account.index")
    return toast(hx_redirect(where), "密码已修改，其他设备上的登录已退出。")


# ── second factor ───────────────────────────────────────────────────────────────────────────────────


@bp.get("/second-factor")
@requires(Permission.HOME, during_setup=True)
def second_factor():
    """Set up the second factor: what it is, or the QR code of a set-up in progress."""
    return _second_factor_page(ConfirmCodeForm(formdata=None))


@bp.post("/second-factor/begin")
@requires(Permission.HOME, during_setup=True)
def begin_second_factor():
    """Make the secret that the QR code shows."""
    totp.begin(actor=current_actor())
    return redirect(url_for("account.second_factor"), code=303)


@bp.get("/second-factor/qr.svg")
@requires(Permission.HOME, during_setup=True)
def qr_code():
    """The set-up's QR code; a file of its own, since the policy for content allows no inline picture."""
    person = current_person()
    secret = totp.pending_secret(person.staff_id)
    if secret is None:
        abort(404)
    out = BytesIO()
    uri = totp.otpauth_uri(secret, person.username)
    segno.make(uri, error="m", micro=False).save(out, kind="svg", scale=5, border=3, dark="#000", light="#fff")
    return Response(out.getvalue(), mimetype="image/svg+xml")


@bp.post("/second-factor/confirm")
@requires(Permission.HOME, during_setup=True)
def confirm_second_factor():
    """The first code: from here on the new secret counts, and the recovery codes are shown once."""
    form, person = ConfirmCodeForm(), current_person()
    if not form.validate():
        return _second_factor_page(form, 422)
    try:
        done = totp.confirm(code=form.code.data, session_id=person.session_id, actor=current_actor())
    except Invalid as error:
        refusal.take(form, error)
        return _second_factor_page(form, 422)
    open_session(done.token)
    return render("account/recovery_codes.html", codes=done.recovery_codes, fresh=True)


@bp.post("/recovery-codes")
@requires(Permission.HOME)
def recovery_codes():
    """New recovery codes, shown once."""
    codes = totp.renew_recovery_codes(actor=current_actor())
    return render("account/recovery_codes.html", codes=codes, fresh=False)


@bp.post("/second-factor/remove")
@requires(Permission.HOME)
def remove_second_factor():
    """Do without it, where the role may."""
    totp.remove(actor=current_actor())
    return toast(hx_redirect(url_for("account.index")), "动态验证码已关闭，以后只用密码登录。", "waiting")


# ── sign-ins ────────────────────────────────────────────────────────────────────────────────────────


@bp.post("/sessions/<int:session_id>/end")
@requires(Permission.HOME)
def end_session(session_id: int):
    """Sign out another browser of one's own."""
    sessions.end_one(session_id=session_id, actor=current_actor())
    return toast(hx_redirect(url_for("account.index")), "已退出那台设备上的登录。")


@bp.post("/sign-out-everywhere")
@requires(Permission.HOME, during_setup=True)
def sign_out_everywhere():
    """End all of one's own sessions, this one too."""
    ended = sessions.sign_out_everywhere(actor=current_actor())
    session.clear()
    return toast(hx_redirect(url_for("auth.sign_in")), f"已退出全部 {ended} 处登录，请重新登录。")


@bp.post("/theme")
@requires(Permission.HOME)
def theme():
    """Light, dark, or as the system; kept by the browser."""
    chosen = request.form.get("theme")
    if chosen not in THEMES:
        raise Invalid.field("theme", "请选择外观")
    response = hx_redirect(url_for("account.index"))
    response.set_cookie(
        THEME_COOKIE, chosen, max_age=365 * 86400, secure=config.current().production, httponly=True, samesite="Lax"
    )
    return response


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _second_factor_page(form: ConfirmCodeForm, status: int = 200) -> Response:
    person = current_person()
    return render("account/second_factor.html", status=status, form=form, person=person,
                  secret=totp.pending_secret(person.staff_id), setup=person.second_factor_due)  # fmt: skip
