"""An arrears that lasts (N7): the parents hear of it again, then the money group sees it each morning.

Day 0 is told with the debit itself (ledger/service.py). It ends by itself: once the balance is back at zero,
`arrears_since` is empty and nothing here finds the wallet; a later arrears begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal

import sqlalchemy as sa

from app import clock, money
from app.db import db, db_now, transactional
from app.domain.ledger import service as ledger
from app.domain.ledger.models import ArrearsStep, Wallet
from app.domain.outbox import service as outbox
from app.domain.people.models import Family, User
from app.domain.policy import service as policy
from app.money import ZERO
from app.vault import mask_phone

SECOND, THIRD = "second", "third"
#: from when on, on the studio's clock, the day's list goes to the money group; a scheduler that starts later sends it
LIST_AT = time(9, 0)
#: families that the card names; the page has all
SHOWN = 10
BATCH = 500

_wallets = Wallet.__table__
_steps = ArrearsStep.__table__


@dataclass(frozen=True, slots=True)
class Escalated:
    """Families told by this run, and whether it wrote the day's list."""

    told: int
    listed: bool


def escalate() -> Escalated:
    """Tell every family whose next step is due, each in a transaction of its own, and the day's list to staff.

    A family that was overlooked for long, as after a standstill, hears the newest step only.
    """
    now = db_now()
    second, third = now - policy.get("arrears_second_after"), now - policy.get("arrears_third_after")
    told = 0
    for step, after, until in ((THIRD, None, third), (SECOND, third, second)):
        for wallet_id, since in _due(step, after, until):
            told += _tell(wallet_id=wallet_id, since=since, step=step)
    return Escalated(told, _list() if clock.local(now).time() >= LIST_AT else False)


def _due(step: str, after: datetime | None, until: datetime) -> list[sa.Row]:
    """Wallets owing since (`after`, `until`] that have not been told of this step: id and since when."""
    query = (
        sa.select(_wallets.c.id, _wallets.c.arrears_since)
        .where(
            _wallets.c.balance < ZERO,
            _wallets.c.arrears_since <= until,
            ~sa.exists().where(
                _steps.c.wallet_id == _wallets.c.id, _steps.c.since == _wallets.c.arrears_since, _steps.c.step == step
            ),
        )
        .order_by(_wallets.c.arrears_since, _wallets.c.id)
        .limit(BATCH)
    )
    if after is not None:
        query = query.where(_wallets.c.arrears_since > after)
    found = list(db.session.execute(query))
    db.session.rollback()
    return found


@transactional
def _tell(*, wallet_id: int, since: datetime, step: str) -> bool:
    wallet = ledger.lock_wallet(wallet_id=wallet_id)
    said = sa.exists().where(_steps.c.wallet_id == wallet_id, _steps.c.since == since, _steps.c.step == step)
    if wallet.arrears_since != since or db.session.scalar(sa.select(said)):
        return False  # paid, or told by another run, between our look and our lock
    now, owed = db_now(), -wallet.balance
    db.session.execute(_steps.insert().values(wallet_id=wallet_id, since=since, step=step, owed=owed, told_at=now))
    outbox.tell_family(
        wallet.family_id,
        "arrears",
        {"owed": money.plain(owed), "time": now.isoformat(), "occasion": step, "days": (now - since).days},
        dedupe=f"w{wallet_id}:{since.isoformat()}:{step}",
        cooled=False,
    )
    return True


def standing() -> dict[str, tuple[int, Decimal]]:
    """Families that owe and how much in yuan (positive): all, those on the day's list, those on the task list."""
    now, found = db_now(), {}
    for name, rule in (("all", None), ("list", "arrears_third_after"), ("task", "arrears_task_after")):
        query = sa.select(sa.func.count(), sa.func.sum(_wallets.c.balance)).where(_wallets.c.balance < ZERO)
        if rule is not None:
            query = query.where(_wallets.c.arrears_since <= now - policy.get(rule))
        count, total = db.session.execute(query).one()
        found[name] = (count, -(total or ZERO))
    return found


# ── the day's list ──────────────────────────────────────────────────────────────────────────────────


@transactional
def _list() -> bool:
    """The money group's card of families that owe for long, once a studio day; False when there is none to send."""
    now, after = db_now(), policy.get("arrears_third_after")
    late = sa.and_(_wallets.c.balance < ZERO, _wallets.c.arrears_since <= now - after)
    count, total = db.session.execute(sa.select(sa.func.count(), sa.func.sum(_wallets.c.balance)).where(late)).one()
    if not count:
        return False
    rows = db.session.execute(
        sa.select(_wallets.c.family_id, _wallets.c.balance, _wallets.c.arrears_since, Family.name)
        .join(Family, Family.id == _wallets.c.family_id)
        .where(late)
        .order_by(_wallets.c.arrears_since, _wallets.c.id)
        .limit(SHOWN)
    ).all()
    phones = _phones([row.family_id for row in rows])
    lines = [
        [_who(row.name, phones.get(row.family_id)), f"{_yuan(-row.balance)} · {(now - row.arrears_since).days} 天"]
        for row in rows
    ]
    if count > len(rows):
        lines.append(["还有", f"{count - len(rows)} 户，见完整名单"])
    card = {
        "title": f"欠费满 {after.days} 天：{count} 户，共 {_yuan(-total)}",
        "colour": "orange",
        "lines": lines,
        "text": "已按规则提醒过家长，请安排联系。",
        "link": {"text": "查看欠费家庭", "path": "/arrears"},
    }
    dedupe = f"list:{clock.local(now):%Y-%m-%d}"
    return outbox.tell_staff("money", "wallet.arrears_list", card, dedupe=dedupe) is not None


def _phones(family_ids: list[int]) -> dict[int, str]:
    """Family → its first parent's number, masked."""
    query = sa.select(User.family_id, User.phone).where(User.family_id.in_(family_ids), User.phone.is_not(None))
    found: dict[int, str] = {}
    for family_id, phone in db.session.execute(query.order_by(User.id)):
        found.setdefault(family_id, mask_phone(phone))
    return found


def _who(name: str, phone: str | None) -> str:
    return " ".join(filter(None, (name, phone)))


def _yuan(amount: Decimal) -> str:
    return f"¥{amount:,.2f}"
