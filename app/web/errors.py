"""Refusals and failures as pages, or as banners for htmx. A lost session leads to sign-in and back (U12)."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from app import ids
from app.db import is_transient
from app.domain.policy import service as policy
from app.errors import DomainError, IdempotencyKeyReused, Kind, Replayed, StepUpRequired, Unauthenticated
from app.web.forms.auth import ProofForm
from app.web.rendering import hx_redirect, render, render_error, toast, wants_fragment
from app.web.wording import spelled

log = logging.getLogger("desk.web")

STATUS: dict[str, int] = {
    Kind.INVALID: 422,
    Kind.NOT_FOUND: 404,
    Kind.FORBIDDEN: 403,
    Kind.UNAUTHENTICATED: 401,
    Kind.CONFLICT: 409,
    Kind.LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
#: set while a 5xx page is rendered: its frame must not ask the database that may just be away
BARE = "desk.bare_page"
_UNSAFE_NEXT = re.compile(r"[\x00-\x20\\\x7f]")


def init_app(app: Flask) -> None:
    app.register_error_handler(DomainError, _refused)
    app.register_error_handler(Replayed, _replayed)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(PoolTimeout, _database_error)
    app.register_error_handler(Exception, _failed)


def status_of(error: DomainError) -> int:
    return STATUS[error.kind]


def _outside() -> bool:
    # The JSON API answers its own errors (app/api); a refusal there must never become a page.
    return request.path.startswith("/api/")


def _refused(error: DomainError) -> ResponseReturnValue:
    if _outside():
        raise error
    if isinstance(error, Unauthenticated):
        return ask_to_sign_in()
    if isinstance(error, StepUpRequired):
        return ask_for_proof()
    if isinstance(error, IdempotencyKeyReused):
        return render_error(409, "这张表单先前已经提交成功，现在的内容与当时不同，没有再次执行。请刷新页面后重新填写。")
    return render_error(status_of(error), error.message, retry_after=error.retry_after)


def _replayed(error: Replayed) -> ResponseReturnValue:
    """The same form came twice and was done once: lead to what it made."""
    if _outside():
        raise error
    location = safe_next(error.answer.get("location")) or page_of_form()
    return toast(hx_redirect(location), "这次提交先前已经完成，没有重复执行。", "info")


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if _outside() or error.code is None or error.code < 400:
        return error
    retry_after = getattr(error, "retry_after", None)
    if error.code >= 500:
        request.environ[BARE] = True
    response = render_error(error.code, retry_after=retry_after if isinstance(retry_after, int) else None)
    if error.code == 405:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))  # type: ignore[attr-defined]
    return response


def _database_error(error: DBAPIError | PoolTimeout) -> ResponseReturnValue:
    if isinstance(error, DBAPIError) and not is_transient(error):
        return _failed(error)
    if _outside():
        raise error
    log.warning("database away or busy", exc_info=error)
    request.environ[BARE] = True
    return render_error(503, retry_after=2)


def _failed(error: Exception) -> ResponseReturnValue:
    if _outside() or _propagates():
        raise error
    log.error("unhandled error", exc_info=error, extra={"path": request.path})
    request.environ[BARE] = True
    try:
        return render_error(500)
    except Exception:
        # The template itself may be what is broken.
        log.exception("the error page failed")
        return Response(f"系统出错了，请求编号 {ids.request_id()}", 500, mimetype="text/plain")


def _propagates() -> bool:
    """As Flask itself decides: a test or a debugger wants the exception, not the page."""
    wanted = current_app.config["PROPAGATE_EXCEPTIONS"]
    return (current_app.testing or current_app.debug) if wanted is None else wanted


# ── lost session and step-up ────────────────────────────────────────────────────────────────────────


def safe_next(text: str | None) -> str | None:
    """The text if it is an address within this site, else None: no host, no scheme, no backslash, no control."""
    if not text or len(text) > 2000 or not text.startswith("/") or text.startswith("//"):
        return None
    if _UNSAFE_NEXT.search(text):
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return None if parts.scheme or parts.netloc else text


def page_of_form() -> str:
    """The page that the person is looking at: where a form goes back to, never the address that took the post."""
    if request.method in ("GET", "HEAD") and not wants_fragment():
        return safe_next(request.full_path.rstrip("?")) or "/"
    address = request.headers.get("HX-Current-URL") or request.headers.get("Referer") or ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    if parts.netloc.lower() != request.host.lower():
        return "/"
    return safe_next(parts.path + (f"?{parts.query}" if parts.query else "")) or "/"


def ask_to_sign_in() -> Response:
    """Lead to the sign-in page and back; scripts keep the form on 401."""
    return hx_redirect(url_for("auth.sign_in", next=page_of_form()), status=401)


def ask_for_proof() -> Response:
    """Ask for password or TOTP: a dialog over the page for htmx, else a page that leads back to the form."""
    next_page = page_of_form()
    if not wants_fragment():
        return hx_redirect(url_for("auth.step_up", next=next_page))
    response = proof_page(ProofForm(formdata=None, next=next_page), 403)
    response.headers["HX-Trigger"] = "desk:step-up"
    return response


def proof_page(form: ProofForm, status: int = 200, retry_after: int | None = None) -> Response:
    """The step-up form as a page, or as a dialog that opens over whatever page asked for it."""
    context = {"form": form, "proof_lasts": spelled(policy.get("step_up_ttl")), "back": safe_next(form.next.data)}
    response = render("auth/step_up.html", "auth/_step_up.html", status=status, **context)
    if wants_fragment():
        response.headers["HX-Retarget"] = "#errors"
        response.headers["HX-Reswap"] = "innerHTML"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response
