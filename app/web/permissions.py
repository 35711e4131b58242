"""Who may open what: each view declares exactly one permission, and what declares none is refused (S2).

The gate runs before the view, so a forgotten decorator is an error page and never an open door. The service
layer asks again (P8): this is the mirror, that is the rule.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import Request, Response, abort, current_app, g, request, session, url_for
from flask_login import current_user

from app import clock, ids
from app.domain.audit.actor import Actor, ActorType
from app.domain.people import roles, sessions
from app.domain.people.models import Staff
from app.domain.people.roles import Permission
from app.domain.people.sessions import SignedIn
from app.errors import Forbidden, Unauthenticated
from app.text import clean
from app.web.rendering import hx_redirect

log = logging.getLogger("desk.web")

#: where the signed cookie carries the session's random token
SESSION_TOKEN = "desk_token"  # noqa: S105 - the name of a field
#: not pages of the portal: files, the JSON API, and what a load balancer or Prometheus asks
OUTSIDE_BLUEPRINTS = frozenset({"health", "metrics"})
OUTSIDE_ENDPOINTS = frozenset({"static"})

_DECLARED = "desk_access"
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """What a view declared: the permission, or None for a page that anyone may open."""

    permission: Permission | None
    during_setup: bool = False


def requires(permission: Permission, *, during_setup: bool = False) -> Callable[[View], View]:
    """Declare the one permission of a view.

    `during_setup` lets in a person who must still change the password or set up the second factor; everything
    else is closed to them until that is done.
    """
    return lambda view: _declare(view, Access(permission, during_setup))


def public(view: View) -> View:
    """Declare that a view needs no sign-in."""
    return _declare(view, Access(None))


def _declare(view: View, access: Access) -> View:
    if hasattr(view, _DECLARED):
        raise TypeError(f"{view.__qualname__} declares its permission twice")
    setattr(view, _DECLARED, access)
    return view


def declared(view: Callable[..., Any]) -> Access | None:
    """What this view declared, or None."""
    return getattr(view, _DECLARED, None)


# ── who is asking ───────────────────────────────────────────────────────────────────────────────────


def load_person(_request: Request) -> SignedIn | None:
    """Flask-Login's loader: the live session row behind the cookie's token."""
    return sessions.find(session.get(SESSION_TOKEN))


def current_person() -> SignedIn | None:
    """Who is signed in, or None. Read once per request."""
    person = current_user._get_current_object()
    return person if isinstance(person, SignedIn) else None


def current_actor() -> Actor:
    """The person at the desk, as use cases and the audit log want them. Raises Unauthenticated."""
    person = current_person()
    if person is None:
        raise Unauthenticated
    return Actor(
        type=ActorType.STAFF,
        id=person.staff_id,
        name=person.display_name,
        role=person.role,
        family_id=person.family_id,
        ip=request.remote_addr,
        user_agent=user_agent(),
        request_id=ids.request_id(),
        proof_age=(clock.now() - person.proved_at).total_seconds(),
    )


@contextmanager
def acting_as(person: Staff) -> Iterator[None]:
    """Within a request that no browser made: what is read is read as this person sees it. Writes nothing, and proves
    nothing: whoever needs proof is refused."""
    before, never = g.get("_login_user"), datetime.min.replace(tzinfo=UTC)
    g._login_user = SignedIn(
        session_id=0, staff_id=person.id, username=person.username, display_name=person.display_name, role=person.role,
        family_id=person.family_id, must_change_password=False, has_second_factor=False, second_factor_due=False,
        created_at=never, last_seen_at=never, proved_at=never,
    )  # fmt: skip
    try:
        yield
    finally:
        g.pop("_login_user", None)
        if before is not None:
            g._login_user = before


def unknown_actor(name: str = "登录页") -> Actor:
    """Whoever is at the sign-in page and has not proved anything yet."""
    return Actor(
        type=ActorType.SYSTEM,
        id=None,
        name=name,
        ip=request.remote_addr,
        user_agent=user_agent(),
        request_id=ids.request_id(),
    )


def user_agent() -> str | None:
    return clean(request.headers.get("User-Agent"), 255) or None


def open_session(token: str) -> None:
    """Give the browser a new cookie with this session's token and nothing of the old one in it (fixation)."""
    session.clear()
    g.pop("csrf_token", None)  # the one of this request belonged to the old cookie
    session[SESSION_TOKEN] = token


def can(permission: str) -> bool:
    """For templates: whether the person's role holds this permission."""
    person = current_person()
    return person is not None and permission in roles.ROLE_PERMISSIONS.get(person.role, ())


# ── the gate ────────────────────────────────────────────────────────────────────────────────────────


def is_portal() -> bool:
    """Whether this request is for a page of the portal."""
    return not (
        request.path.startswith("/api/")
        or request.blueprint in OUTSIDE_BLUEPRINTS
        or request.endpoint in OUTSIDE_ENDPOINTS
    )


def declared_access() -> Access | None:
    """What the view of this request declared; None where there is no view (404, 405). Aborts if it forgot to."""
    if request.endpoint is None:
        return None
    access = declared(current_app.view_functions[request.endpoint])
    if access is None:
        log.error("view without a permission", extra={"endpoint": request.endpoint})
        abort(500)
    return access


def require_sign_in(access: Access) -> Response | None:
    """Refuse whoever is not signed in; send those with an unfinished account to finish it."""
    if access.permission is None:
        return None
    person = current_person()
    if person is None:
        raise Unauthenticated
    if access.during_setup:
        return None
    if person.must_change_password:
        return hx_redirect(url_for("account.password"))
    if person.second_factor_due:
        return hx_redirect(url_for("account.second_factor"))
    return None


def require_permission(access: Access) -> None:
    """Raises Forbidden."""
    if access.permission is not None and not can(access.permission):
        raise Forbidden(data={"permission": str(access.permission)})
