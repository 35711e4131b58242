"""The clients of the debits drill: processes that may die at any moment, and what the dead have left in their files."""

from __future__ import annotations

import os
import random
import traceback
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from app.db import db
from app.domain.ledger import service
from app.errors import Busy, OutcomeUnknown
from bench.wallet import ACTOR


@dataclass(frozen=True, slots=True)
class Debit:
    """One line of the plan."""

    number: int
    wallet_id: int
    amount: Decimal

    @property
    def key(self) -> str:
        return f"debits-{self.number}"


def make_plan(seed: str, first: int, size: int, wallets: list[int]) -> list[Debit]:
    """`size` debits numbered from `first` on; the n-th wallet has one n-th as many as the first."""
    dice = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(len(wallets))]
    chosen = dice.choices(wallets, weights, k=size)
    return [Debit(first + n, wallet, Decimal(dice.randint(1, 999)) / 100) for n, wallet in enumerate(chosen)]


@dataclass
class Heard:
    """What the clients of a round wrote down. `acknowledged`: number → id of the ledger's row."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    #: done before, by a try whose answer nobody heard
    replayed: int = 0
    again: int = 0


def heard(folder: Path) -> Heard:
    """Read what all clients of a round have written down."""
    found = Heard()
    for file in folder.glob("heard-*"):
        if file.suffix == "":
            _read(file, found)
    return found


def _read(file: Path, found: Heard) -> None:
    for line in file.read_text().splitlines() if file.exists() else ():
        match line.split():
            case ["done", number, row_id, replayed, "."]:
                found.acknowledged[int(number)] = int(row_id)
                found.replayed += replayed == "True"
            case ["again", "."]:
                found.again += 1


def work(app, share: list[Debit], file: Path, *, control: bool) -> None:
    """The life of a client: all of its share that is not acknowledged yet. Ends the process."""
    code = 1
    try:
        random.seed()  # forks of one parent must not sleep in step
        known = Heard()
        _read(file, known)
        with app.app_context(), file.open("a", buffering=1) as book:
            # A line that a death has cut off must not run into the next one.
            book.write("\n")
            for debit in share:
                if debit.number not in known.acknowledged and not _insist(debit, book, control):
                    break
            db.session.remove()
        code = 0
    except BaseException:
        file.with_suffix(".errors").open("a").write(traceback.format_exc())
    finally:
        os._exit(code)


def _insist(debit: Debit, book, control: bool) -> bool:
    """Ask until it is done, and write that down. False when the drill is gone."""
    parent = os.getppid()
    while True:
        try:
            done = service.debit(
                wallet_id=debit.wallet_id, amount=debit.amount, reference_type="booking", reference_id=debit.number,
                idempotency_key=f"control-{uuid.uuid4().hex}" if control else debit.key,
                reason="正式课扣费", actor=ACTOR,
            )  # fmt: skip
        except (Busy, OutcomeUnknown):
            book.write("again .\n")
            if os.getppid() != parent:
                return False
            continue
        # One write of one short line: a death comes before it or after it.
        book.write(f"done {debit.number} {done.id} {done.replayed} .\n")
        return True
