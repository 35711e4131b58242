"""The few calls of the contract that are the staff's: by the portal's session cookie instead of a token."""

from __future__ import annotations

from flask import request
from flask_login import current_user

from app import clock, ids
from app.domain.audit.actor import Actor, ActorType
from app.domain.people.sessions import SignedIn
from app.errors import Forbidden, Unauthenticated
from app.text import clean


def staff_actor() -> Actor:
    """Who is signed in to the portal. Raises Unauthenticated, and Forbidden for a page of another site.

    A browser sends the cookie with no POST of another site (SameSite=Lax); what a neighbouring host of ours sends is
    known by its headers.
    """
    person = current_user._get_current_object()
    if not isinstance(person, SignedIn) or person.must_change_password or person.second_factor_due:
        raise Unauthenticated
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in (None, "same-origin", "none") or origin not in (None, request.host_url.rstrip("/")):
        raise Forbidden("请在运营台上操作")
    return Actor(
        type=ActorType.STAFF, id=person.staff_id, name=person.display_name, role=person.role,
        family_id=person.family_id, ip=request.remote_addr,
        user_agent=clean(request.headers.get("User-Agent"), 255) or None, request_id=ids.request_id(),
        proof_age=(clock.now() - person.proved_at).total_seconds(),
    )  # fmt: skip
