"""A signed-in browser for tests of the portal: `Browser(app).sign_in("finance")`, then `get`, `post`, `htmx`.

The session row is written directly, so that tests need not pay for argon2; signing in itself has its own tests.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets

from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import Actor
from app.domain.people import sessions
from app.domain.people.models import Staff, StaffSession, StaffStatus
from app.domain.people.roles import MONEY_ROLES
from app.web.permissions import SESSION_TOKEN

ORIGIN = "http://localhost"
PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}
_numbers = itertools.count(1)


def make_staff(role: str = "finance", **values) -> Staff:
    """An active member of staff, with a second factor where the role must have one."""
    number = next(_numbers)
    values.setdefault("username", f"{role}{number}")
    values.setdefault("display_name", f"员工{number}")
    values.setdefault("password_hash", "no password signs this account in")
    values.setdefault("status", StaffStatus.ACTIVE)
    if role in MONEY_ROLES:
        values.setdefault("totp_secret", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
        values.setdefault("totp_confirmed_at", clock.now())
    values.setdefault("created_at", clock.now())
    with transaction():
        staff = Staff(role=role, **values)
        db.session.add(staff)
        db.session.flush()
        db.session.expunge(staff)
    return staff


def actor_of(staff: Staff, *, proof_age: float | None = 0.0) -> Actor:
    """The actor of a use case called directly; `proof_age` in seconds since the last proof."""
    return Actor(
        type="staff", id=staff.id, name=staff.display_name, role=staff.role, family_id=staff.family_id,
        ip="127.0.0.1", user_agent="pytest", request_id="test-request", proof_age=proof_age,
    )  # fmt: skip


class Browser:
    """A test client with a session, that sends what a page of the portal sends."""

    def __init__(self, app: Flask):
        self.app = app
        self.client = app.test_client()
        self.staff: Staff | None = None

    def sign_in(self, who: str | Staff = "finance") -> Browser:
        """Sign in as this person, or as a new one of this role."""
        self.staff = make_staff(who) if isinstance(who, str) else who
        with transaction():
            token = sessions.start(self.staff.id, ip="127.0.0.1", user_agent="pytest")
        with self.client.session_transaction() as cookie:
            cookie.clear()
            cookie[SESSION_TOKEN] = token
        return self

    @property
    def token(self) -> str | None:
        with self.client.session_transaction() as cookie:
            return cookie.get(SESSION_TOKEN)

    def session_row(self) -> StaffSession:
        """This browser's session row as it is now."""
        digest = hashlib.sha256((self.token or "").encode()).hexdigest()
        db.session.rollback()
        return db.session.query(StaffSession).filter_by(token_hash=digest).populate_existing().one()

    def csrf_token(self) -> str:
        with self.client.session_transaction() as cookie:
            raw = cookie.setdefault("csrf_token", secrets.token_hex(20))
        return URLSafeTimedSerializer(self.app.secret_key, salt="wtf-csrf-token").dumps(raw)

    def get(self, url: str, **kwargs) -> TestResponse:
        return self.client.get(url, **kwargs)

    def post(self, url: str, data: dict | None = None, *, headers: dict | None = None, **kwargs) -> TestResponse:
        """A plain form post with the CSRF token and a fresh request token."""
        data = {"csrf_token": self.csrf_token(), "request_token": secrets.token_hex(16), **(data or {})}
        return self.client.post(url, data=data, headers={**PAGE, **(headers or {})}, **kwargs)

    def htmx(self, url: str, data: dict | None = None, *, page: str = "/", **kwargs) -> TestResponse:
        """An htmx post from `page`, or an htmx get when there is no data."""
        headers = {"HX-Request": "true", "HX-Current-URL": ORIGIN + page}
        if data is None:
            return self.client.get(url, headers=headers, **kwargs)
        return self.post(url, data, headers=headers, **kwargs)
