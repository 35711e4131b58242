"""The ORM refuses what only the ledger may do (W2): a second fence, in front of the database's triggers.

The ledger itself writes by Core statements, which go past the ORM; so whatever reaches these listeners is a mistake.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.domain.ledger.models import Wallet, WalletTransaction

#: columns of a wallet that only move with a transaction row
MIRRORED = ("balance", "version", "head_hash")


class LedgerViolation(RuntimeError):
    """Someone tried to change money or its history outside the ledger. A bug, never a user's doing."""


def _refuse_row(_mapper, _connection, target) -> None:
    raise LedgerViolation(f"{type(target).__name__} is written by app.domain.ledger only")


def _refuse_moved_wallet(_mapper, _connection, target) -> None:
    state = sa.inspect(target)
    for name in MIRRORED:
        if state.attrs[name].history.has_changes():
            raise LedgerViolation(f"wallets.{name} moves only with its transaction: use ledger.service.post")


def _refuse_bulk(execution) -> None:
    """`session.execute(update(Wallet)…)` and its kin never build objects, so the mapper events miss them."""
    if not (execution.is_insert or execution.is_update or execution.is_delete):
        return
    mapper = execution.bind_mapper
    if mapper is None or mapper.class_ not in (Wallet, WalletTransaction):
        return
    if mapper.class_ is WalletTransaction or execution.is_delete:
        raise LedgerViolation(f"bulk change of {mapper.class_.__name__}")
    if execution.is_update and _touched(execution) & set(MIRRORED):
        raise LedgerViolation("bulk change of wallets.balance, version or head_hash")


def _touched(execution) -> set[str]:
    named = {getattr(column, "key", column) for column in execution.statement._values or ()}
    parameters = execution.parameters or {}
    for one in parameters if isinstance(parameters, list | tuple) else [parameters]:
        named |= set(one)
    return named


def install() -> None:
    """Listen. Called once, when the package is imported."""
    for moment in ("before_insert", "before_update", "before_delete"):
        event.listen(WalletTransaction, moment, _refuse_row)
    event.listen(Wallet, "before_update", _refuse_moved_wallet)
    event.listen(Wallet, "before_delete", _refuse_row)
    event.listen(Session, "do_orm_execute", _refuse_bulk)
