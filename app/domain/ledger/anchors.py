"""Anchors: a verified state of the whole ledger as one Merkle root over every wallet's head (W32).

A leaf is (wallet, seq, balance, hash). Only wallets that moved since the anchor before get a new leaf row, so the
state at anchor N is each wallet's newest leaf up to N, and it must hash to N's root: an edited checkpoint shows.
The count of transactions is the sum of the seqs, the sum of balances is that of the leaves; both go into the root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.ledger.models import LedgerAnchor, LedgerAnchorLeaf
from app.money import from_fen, plain, to_fen

_anchors = LedgerAnchor.__table__
_leaves = LedgerAnchorLeaf.__table__


@dataclass(frozen=True, slots=True)
class Head:
    """A wallet's newest row: its seq, the balance after it in fen, its hash (None before the first row)."""

    seq: int
    fen: int
    hash: bytes | None


EMPTY = Head(0, 0, None)


@dataclass(frozen=True, slots=True)
class Anchor:
    """One kept anchor and the state that its leaves say it is of."""

    id: int
    root: str
    heads: dict[int, Head]

    @property
    def intact(self) -> bool:
        """Whether the leaves still hash to the root."""
        return merkle_root(self.heads) == self.root


def merkle_root(heads: dict[int, Head]) -> str:
    """The root as 64 hex digits: a binary tree over the leaves by ascending wallet id, a lone node moving up as it
    is; leaves and nodes begin with different bytes, and the root covers how many wallets and rows and what sum."""
    level = [_leaf(wallet_id, heads[wallet_id]) for wallet_id in sorted(heads)]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [hashlib.sha256(b"\1" + left + right).digest() for left, right in pairs] + level[len(level) & ~1 :]
    wallets, rows, fen = totals(heads.values())
    summary = f"{wallets}|{rows}|{fen}|".encode()
    return hashlib.sha256(b"\2" + summary + (level[0] if level else b"")).hexdigest()


def _leaf(wallet_id: int, head: Head) -> bytes:
    text = f"{wallet_id}|{head.seq}|{head.fen}|{head.hash.hex() if head.hash else ''}"
    return hashlib.sha256(b"\0" + text.encode()).digest()


def totals(heads: Iterable[Head]) -> tuple[int, int, int]:
    """How many wallets, how many rows, the sum of balances in fen."""
    wallets = rows = fen = 0
    for head in heads:
        wallets, rows, fen = wallets + 1, rows + head.seq, fen + head.fen
    return wallets, rows, fen


def last(connection: Connection) -> Anchor | None:
    """The newest anchor; None before the first."""
    row = connection.execute(sa.select(_anchors.c.id, _anchors.c.root).order_by(_anchors.c.id.desc()).limit(1)).first()
    return None if row is None else Anchor(row.id, row.root, _heads(connection, row.id))


def find(connection: Connection, root: str) -> Anchor | None:
    """The anchor with this root; None if there is none."""
    row = connection.execute(
        sa.select(_anchors.c.id, _anchors.c.root).where(_anchors.c.root == root.lower()).order_by(_anchors.c.id)
    ).first()
    return None if row is None else Anchor(row.id, row.root, _heads(connection, row.id))


def _heads(connection: Connection, anchor_id: int) -> dict[int, Head]:
    newest = (
        sa.select(_leaves.c.wallet_id, sa.func.max(_leaves.c.anchor_id).label("anchor_id"))
        .where(_leaves.c.anchor_id <= anchor_id)
        .group_by(_leaves.c.wallet_id)
        .subquery()
    )
    rows = connection.execute(
        sa.select(_leaves.c.wallet_id, _leaves.c.seq, _leaves.c.balance, _leaves.c.hash).join(
            newest,
            sa.and_(newest.c.wallet_id == _leaves.c.wallet_id, newest.c.anchor_id == _leaves.c.anchor_id),
        )
    )
    return {row.wallet_id: Head(row.seq, to_fen(row.balance), row.hash) for row in rows}


@transactional
def write(*, heads: dict[int, Head], base: Anchor | None, actor: Actor) -> str:
    """Keep a verified state as the next anchor and return its root; nothing is written when nothing moved.

    The id follows the base's, so that of two runs that verified side by side only one writes: leaves of an older
    view on top of a newer one would not hash to either root.
    """
    root = merkle_root(heads)
    before = base.heads if base is not None else {}
    moved = {wallet_id: head for wallet_id, head in heads.items() if before.get(wallet_id) != head}
    if base is not None and not moved:
        return root
    anchor_id = base.id + 1 if base is not None else 1
    wallets, rows, fen = totals(heads.values())
    balance_sum = plain(Decimal(fen).scaleb(-2))
    try:
        db.session.execute(
            _anchors.insert(),
            {"id": anchor_id, "created_at": clock.now(), "root": root, "wallets": wallets, "transactions": rows,
             "balance_sum": balance_sum},
        )  # fmt: skip
    except IntegrityError:
        return root
    leaves = [
        {"wallet_id": wallet_id, "anchor_id": anchor_id, "seq": head.seq, "balance": from_fen(head.fen),
         "hash": head.hash}
        for wallet_id, head in moved.items()
    ]  # fmt: skip
    for start in range(0, len(leaves), 1000):
        db.session.execute(_leaves.insert(), leaves[start : start + 1000])
    audit.record(actor, "ledger.anchored", target_type="ledger_anchor", target_id=anchor_id,
                 after={"root": root, "wallets": wallets, "transactions": rows, "sum": balance_sum})  # fmt: skip
    return root
