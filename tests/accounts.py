"""Staff who can really sign in, and what their phone shows: for tests of signing in."""

from __future__ import annotations

from functools import cache

import pyotp

from app import clock
from app.domain.people import passwords
from app.domain.people.models import Staff
from app.domain.people.roles import MONEY_ROLES
from tests.portal import Browser, make_staff

PASSWORD = "correct horse battery"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@cache
def password_hash() -> str:
    # One hash for the whole run: each costs a tenth of a second.
    return passwords.hash_password(PASSWORD)


def make_account(role: str = "front_desk", *, second_factor: bool | None = None, **values) -> Staff:
    """Someone whose password is PASSWORD, with a second factor (SECRET) where the role must have one."""
    factor = role in MONEY_ROLES if second_factor is None else second_factor
    values.setdefault("totp_secret", SECRET if factor else None)
    values.setdefault("totp_confirmed_at", clock.now() if factor else None)
    return make_staff(role, password_hash=values.pop("password_hash", password_hash()), **values)


def code(secret: str = SECRET, *, steps: int = 0) -> str:
    """What the authenticator shows now, or some steps of 30 seconds later."""
    return pyotp.TOTP(secret).at(int(clock.now().timestamp()) + 30 * steps)


def try_password(browser: Browser, username: str, password: str = PASSWORD, **fields):
    return browser.post("/sign-in", {"username": username, "password": password, **fields})
