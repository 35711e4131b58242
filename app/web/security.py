"""What stands in front of every page: origin, sign-in, CSRF token, permission; and the headers behind it (S3).

The order matters. A foreign page learns nothing, not even whether someone is signed in; a lost session leads to
the sign-in page rather than to a complaint about a token that went with it.
"""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

from flask import Flask, Request, Response, abort, g, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask_wtf.csrf import CSRFError

from app import config
from app.domain.people import limits, sessions
from app.domain.policy import service as policy
from app.errors import Forbidden, Unavailable
from app.extensions import csrf
from app.web.permissions import current_person, declared_access, is_portal, require_permission, require_sign_in

MAX_ID = 2**63 - 1
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
#: what extensions keep in `g` for one request. `g` lives as long as the application context, which a command or
#: a test may hold open over several requests: one person must never be carried into the next one's request.
_PER_REQUEST = ("_login_user", "csrf_token", "csrf_valid")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",  # icons of the stylesheet, previews of receipts before the upload
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
PERMISSIONS_POLICY = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), microphone=(), midi=(),"
    " payment=(), usb=(), xr-spatial-tracking=()"
)


HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Permissions-Policy", PERMISSIONS_POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_HEADERS = [(name.lower(), name, value) for name, value in HEADERS]


#: calls of the JSON contract that know the portal's session (app/api/v1/staff_session.py)
STAFF_CALLS = frozenset({"/api/v1/waitlist/notify"})


class PortalSessions(SecureCookieSessionInterface):
    """The cookie is the portal's alone: the JSON API has none, neither reads nor sets one, nor pays for it, but for the
    calls that are the staff's."""

    def open_session(self, app: Flask, request: Request) -> SessionMixin | None:
        if request.path.startswith("/api/v1/") and request.path not in STAFF_CALLS:
            return self.make_null_session(app)
        return super().open_session(app, request)


def init_app(app: Flask) -> None:
    app.session_interface = PortalSessions()
    # Its Referer check refuses browsers that send none; `_refuse_foreign` asks Origin and Sec-Fetch-Site instead.
    app.config["WTF_CSRF_SSL_STRICT"] = False
    app.config["WTF_I18N_ENABLED"] = False  # forms_token.DeskForm names the one language
    app.before_request(_guard)
    app.after_request(_add_headers)
    app.teardown_request(_forget_person)


def _guard() -> Response | None:
    if not is_portal():
        return None
    _forget_person()
    if any(_names_nothing(value) for value in (request.view_args or {}).values()):
        abort(404)
    if request.method in UNSAFE:
        _refuse_foreign()
    access = declared_access()
    if access is None:
        return None
    detour = require_sign_in(access)
    if detour is not None:
        return detour
    if request.method in UNSAFE:
        _check_token()
    require_permission(access)
    _touch_session()
    return None


def _names_nothing(value: object) -> bool:
    """No row can have this id, and no database takes it; or this code, which MariaDB refuses to compare."""
    return value > MAX_ID if isinstance(value, int) else not str(value).isascii()


def _touch_session() -> None:
    """Keep the session from idling out. What a page asks by itself is no sign of a person (static/live.js)."""
    person = current_person()
    if person is None or request.headers.get("X-Desk-Poll"):
        return
    with suppress(Unavailable):  # a busy database must not cost anyone the page; the next request touches again
        sessions.touch(person)


def _forget_person(_error: BaseException | None = None) -> None:
    for name in _PER_REQUEST:
        g.pop(name, None)


def _refuse_foreign() -> None:
    """Raises Forbidden for a request that another site made. `HX-Request` proves nothing: any script can set it."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if origin is None and site is None:
        origin = request.headers.get("Referer")  # browsers of before 2020; without any of them the token decides
    if (site is not None and site != "same-origin") or (origin is not None and not is_own_origin(origin)):
        raise Forbidden("请求来自其他网站，没有执行。请从本系统的页面操作。", code="CROSS_SITE")


def is_own_origin(address: str) -> bool:
    """Whether an address or origin is this portal's: as the browser sees it, or as DESK_PUBLIC_URL says."""
    return _origin(address) in {_origin(request.host_url), _origin(config.current().public_url)}


def _origin(address: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return (parts.scheme, parts.netloc.lower()) if parts.scheme and parts.netloc else None


def _check_token() -> None:
    try:
        csrf.protect()
    except CSRFError:
        raise Forbidden(
            "页面停留过久或已在别处重新登录，这次提交没有执行。请刷新页面后重试。", code="CSRF_FAILED"
        ) from None


def limit_money_forms() -> None:
    """Count one money form of this person (S13), in the database: it holds without Redis. Raises TooMany."""
    person = current_person()
    if person is not None and config.current().rate_limits:
        limits.hit(f"money:staff:{person.staff_id}", limit=policy.get("limit_staff_money"), window_seconds=60)


def _add_headers(response: Response) -> Response:
    headers = response.headers
    there = {name.lower() for name, _ in headers}
    for lower, name, value in _HEADERS:
        if lower not in there:
            headers.add(name, value)
    if config.current().production:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    if request.endpoint == "static":
        if "v" in request.args and response.status_code == 200:
            # The address carries the file's hash: another content has another address.
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
    elif is_portal():
        response.vary.add("HX-Request")
        # Nothing of a signed-in page may be read from a cache after signing out.
        headers.setdefault("Cache-Control", "no-store")
    return response
