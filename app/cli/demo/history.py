"""Half a year of a family's wallet: an opening balance, recharges, a class a week, ending at a chosen balance."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import zip_longest

from app import clock
from app.cli.demo.people import ACTOR, Made
from app.domain.ledger import bulk
from app.domain.ledger.bulk import Movement
from app.domain.ledger.models import TransactionType

CLASS_PRICE = Decimal("200.00")
RECHARGE = Decimal("2000.00")
WEEK = timedelta(days=7)


def write(families: dict[int, Made], balances: dict[int, Decimal], before: datetime) -> int:
    """Write every family's history in rounds, oldest first, all of it before this moment; returns the number of
    rows."""
    columns = [list(_of(made, balances[number], before)) for number, made in families.items()]
    rounds = ([m for m in row if m is not None] for row in zip_longest(*columns))
    return bulk.build(rounds, actor=ACTOR)


def _last_class(number: int, before: datetime) -> datetime:
    """The family's weekday and hour, the last time before this moment."""
    midnight = clock.local(before).replace(hour=0, minute=0, second=0, microsecond=0)
    moment = midnight - timedelta(days=number % 7) + timedelta(hours=10 + number % 9, minutes=number % 2 * 30)
    return moment if moment < before - timedelta(hours=1) else moment - WEEK


def _of(made: Made, target: Decimal, before: datetime) -> Iterator[Movement]:
    dice = random.Random(made.number * 7919)  # noqa: S311 - a demo's figures
    classes = dice.randint(8, 22)
    to_come = target + CLASS_PRICE * classes
    running, number = Decimal("0.00"), 0
    moment = _last_class(made.number, before) - WEEK * classes

    def movement(type: str, amount: Decimal, reason: str, profile_id: int | None = None) -> Movement:
        nonlocal running, number
        running += amount
        number += 1
        return Movement(
            wallet_id=made.wallet_id, type=type, amount=amount, idempotency_key=f"demo:{made.number}:{number}",
            reference_type="import", reference_id=str(made.family_id), reason=reason, user_id=made.user_id,
            profile_id=profile_id, created_at=moment + timedelta(seconds=number * 20),
        )  # fmt: skip

    first = min(to_come, RECHARGE)
    to_come -= first
    yield movement(TransactionType.RECHARGE, first, "期初余额")
    for week in range(classes):
        moment += WEEK
        if running < CLASS_PRICE and to_come > 0:
            paid = min(to_come, RECHARGE)
            to_come -= paid
            yield movement(TransactionType.RECHARGE, paid, "充值")
        student = made.profile_ids[week % len(made.profile_ids)]
        yield movement(TransactionType.DEDUCTION, -CLASS_PRICE, f"正式课 · {made.level} 体操课", student)
    if to_come > 0:
        yield movement(TransactionType.RECHARGE, to_come, "充值")
