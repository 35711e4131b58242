"""The lockout: failed passwords and codes per account and per address, counted in the database (P7, Z6).

An attempt is written down before the password is looked at and struck out when it was right. Counting first
and writing afterwards would let a hundred simultaneous guesses all see "four failures so far".
"""

from __future__ import annotations

import ipaddress
import math
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.db import db, require_transaction, transactional
from app.domain.people.models import SignInFailure
from app.domain.policy import service as policy
from app.errors import TooMany
from app.vault import blind_index

_failures = SignInFailure.__table__


class LockedOut(TooMany):
    """Too many failures; the sentence is the same whether the account exists or not."""

    code = "SIGN_IN_LOCKED"


def account_key(username: str) -> str:
    """How an account is counted, whether it exists or not. People type passwords into this field: it is keyed."""
    return blind_index(username.strip().lower()[:128], "sign-in")


def network_of(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or the /64 that an IPv6 customer has at hand."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "-"
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def begin(account: str, address: str | None, *, count_address: bool = True) -> int:
    """Write an attempt down and return its id. Raises LockedOut when account or address has none left.

    `count_address` is off only where rate limits are (never in production); the account always counts.
    """
    rules = policy.get_many("sign_in_max_failures", "sign_in_failure_window")
    network = network_of(address)
    attempt = _write(account=account, address=network)
    # Read after our commit: the n-th to commit counts at least n, so no more than the allowed number ever pass.
    since = clock.now() - rules["sign_in_failure_window"]
    counted = [_failures.c.account == account] + ([_failures.c.address == network] if count_address else [])
    for condition in counted:
        number, first = db.session.execute(
            sa.select(sa.func.count(), sa.func.min(_failures.c.created_at)).where(
                condition, _failures.c.created_at > since
            )
        ).one()
        if number > rules["sign_in_max_failures"]:
            strike_out_now(attempt=attempt)
            wait = math.ceil((first - since).total_seconds())
            minutes = max(1, math.ceil(wait / 60))
            raise LockedOut(f"失败次数过多，已暂时锁定，请约 {minutes} 分钟后再试", retry_after=max(1, wait))
    return attempt


@transactional
def _write(*, account: str, address: str) -> int:
    row = {"account": account, "address": address, "created_at": clock.now()}
    return db.session.execute(_failures.insert().values(row)).inserted_primary_key[0]


def strike_out(attempt: int) -> None:
    """Building block: this attempt was right."""
    require_transaction()
    db.session.execute(_failures.delete().where(_failures.c.id == attempt))


@transactional
def strike_out_now(*, attempt: int) -> None:
    """This attempt was not looked at, or was right, and nothing else is to be written."""
    strike_out(attempt)


def forgive(account: str) -> None:
    """Building block: a whole sign-in succeeded, its earlier failures were mistypings."""
    require_transaction()
    db.session.execute(_failures.delete().where(_failures.c.account == account))


def left(account: str) -> int:
    """How many failures this account may still have; 0 means locked."""
    rules = policy.get_many("sign_in_max_failures", "sign_in_failure_window")
    query = sa.select(sa.func.count()).where(
        _failures.c.account == account, _failures.c.created_at > clock.now() - rules["sign_in_failure_window"]
    )
    return max(0, rules["sign_in_max_failures"] - db.session.execute(query).scalar_one())


@transactional
def forget_before(*, moment: datetime) -> int:
    """Delete attempts from before this moment, which no lockout counts any more; returns how many."""
    return db.session.execute(_failures.delete().where(_failures.c.created_at < moment)).rowcount
