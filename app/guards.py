"""Whether a database transaction of ours is open: set by `app.db`, asked by gateways.

A slow provider must never hold a row lock, so a network call inside a transaction is a bug. The flag lives
here, apart from `app.db`, so that gateways can ask without importing the database.
"""

from __future__ import annotations

from contextvars import ContextVar

_open: ContextVar[bool] = ContextVar("transaction_open", default=False)


def enter_transaction():
    """Mark a transaction as open; give the returned token back to `leave_transaction`."""
    return _open.set(True)


def leave_transaction(token) -> None:
    _open.reset(token)


def in_transaction() -> bool:
    return _open.get()


def refuse_in_transaction(what: str) -> None:
    """Raise RuntimeError when called inside a transaction: network has no place there."""
    if in_transaction():
        raise RuntimeError(f"{what} inside a database transaction: commit first, then talk to the outside")
