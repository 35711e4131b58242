"""Signing in, the second factor, proving oneself again, signing out (P7, P9)."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request, session, url_for

from app import clock, config
from app.domain.people import attempts, limits, sessions, sign_in
from app.domain.people.attempts import LockedOut
from app.domain.people.roles import Permission
from app.domain.people.sign_in import Refused
from app.domain.policy import service as policy
from app.errors import DomainError, Invalid, TooMany, Unavailable
from app.web.errors import proof_page, safe_next, status_of
from app.web.forms import refusal
from app.web.forms.auth import CodeForm, ProofForm, SignInForm
from app.web.permissions import (
    current_actor,
    current_person,
    open_session,
    public,
    requires,
    unknown_actor,
)
from app.web.rendering import hx_redirect, is_htmx, render, toast, trigger, url_if, wants_fragment

bp = Blueprint("auth", __name__)

#: what the cookie carries between password and code
WAITING = "desk_waiting"
WAITING_SECONDS = 300


@bp.route("/sign-in", methods=["GET", "POST"], endpoint="sign_in")
@public
def sign_in_page():
    """Username and password."""
    form = SignInForm(next=request.args.get("next", ""))
    if request.method != "POST":
        return redirect(_destination(form.next.data)) if current_person() else _page("auth/sign_in.html", form)
    if not form.validate():
        return _page("auth/sign_in.html", form, 422)
    try:
        _count("signin")
        passed = sign_in.check_password(
            username=form.username.data, password=form.password.data, actor=unknown_actor(),
            count_address=config.current().rate_limits,
        )  # fmt: skip
    except (Refused, TooMany, Unavailable) as error:
        return _refused("auth/sign_in.html", form, error)
    if passed.token:
        return _signed_in(passed.token, form.next.data)
    # A new cookie from here on: nobody who planted the old one comes along.
    session.clear()
    session[WAITING] = [passed.staff_id, passed.stamp, int(clock.now().timestamp()), safe_next(form.next.data) or ""]
    return redirect(url_for("auth.second_factor"), code=303)


@bp.route("/sign-in/code", methods=["GET", "POST"])
@public
def second_factor():
    """The code after the password."""
    waiting = _waiting()
    if waiting is None:
        return redirect(url_for("auth.sign_in"), code=303)
    staff_id, stamp, _since, next_page = waiting
    form = CodeForm()
    if request.method != "POST":
        return _page("auth/second_factor.html", form)
    if not form.validate():
        return _page("auth/second_factor.html", form, 422)
    try:
        _count("signin-code")
        token = sign_in.check_code(
            staff_id=staff_id, stamp=stamp, code=form.code.data, actor=unknown_actor(),
            count_address=config.current().rate_limits,
        )  # fmt: skip
    except (Refused, TooMany, Unavailable) as error:
        if error.code == "SIGN_IN_EXPIRED":
            session.clear()
            return toast(redirect(url_for("auth.sign_in"), code=303), error.message, "waiting")
        return _refused("auth/second_factor.html", form, error)
    return _signed_in(token, next_page)


@bp.post("/sign-out")
@requires(Permission.HOME, during_setup=True)
def sign_out():
    """End this session, here and in the database."""
    sessions.sign_out(session_id=current_person().session_id, actor=current_actor())
    session.clear()
    return toast(hx_redirect(url_for("auth.sign_in")), "您已退出登录。", "good")


@bp.route("/step-up", methods=["GET", "POST"])
@requires(Permission.HOME, during_setup=True)
def step_up():
    """Password or code again, for money and power (P9): a page of its own, or the dialog of htmx."""
    form = ProofForm(next=request.args.get("next", ""))
    if request.method != "POST":
        return proof_page(form)
    if not form.validate():
        return proof_page(form, 422)
    try:
        sign_in.prove(
            secret=form.secret.data, session_id=current_person().session_id, actor=current_actor(),
            count_address=config.current().rate_limits,
        )  # fmt: skip
    except (Invalid, LockedOut, Unavailable) as error:
        refusal.take(form, error)
        return proof_page(form, status_of(error), error.retry_after)
    if is_htmx() and wants_fragment():
        return trigger(Response(""), "desk:proved")
    return hx_redirect(_destination(form.next.data))


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _page(template: str, form, status: int = 200) -> Response:
    return render(template, status=status, form=form)


def _refused(template: str, form, error: DomainError) -> Response:
    """The form again, with the refusal above it; the password is never sent back."""
    form.form_errors.append(error.message)
    response = _page(template, form, status_of(error))
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _count(bucket: str) -> None:
    """Raises TooMany: so many tries a minute per address, whoever they are for (S13)."""
    if config.current().rate_limits:
        address = attempts.network_of(request.remote_addr)
        limits.hit(f"{bucket}:{address}", limit=policy.get("limit_sign_in"), window_seconds=60)


def _waiting() -> tuple[int, str, int, str] | None:
    kept = session.get(WAITING)
    if not kept or clock.now().timestamp() - kept[2] > WAITING_SECONDS:
        return None
    return tuple(kept)


def _signed_in(token: str, next_page: str | None) -> Response:
    open_session(token)
    return redirect(_destination(next_page), code=303)


def _destination(next_page: str | None) -> str:
    return safe_next(next_page) or url_if("home.today") or url_for("account.index")
