"""Moving a student or a parent to another family, and merging two families into one (P3, P11).

Moving people leaves the money where it is, but for an amount that is transferred on purpose. Merging moves everything,
debts too, and closes the emptied wallet; what is owed back to it later goes to the other (ledger/merging.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from app import ids, money
from app.db import RequestKey, db, execute, lock_row, lock_rows, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.bookings.models import Booking, BookingStatus
from app.domain.cases.models import MoneyCase
from app.domain.changes import two_families
from app.domain.changes.errors import FamilyMerged, NotEnough, OpenItems
from app.domain.credits.models import CompensationLot, CreditStatus, MakeupCredit, MakeupRequest, RequestStatus
from app.domain.desk import persons
from app.domain.desk.errors import BalanceMoved
from app.domain.ledger import merging
from app.domain.ledger import service as ledger
from app.domain.ledger.models import Wallet
from app.domain.ledger.service import LockedWallet
from app.domain.orders.models import PaymentOrder, Refund
from app.domain.outbox import service as outbox
from app.domain.people import proof, roles
from app.domain.people.models import Family, Profile, Staff, User
from app.domain.people.roles import Permission
from app.domain.policy import changes as policies
from app.domain.search.service import index_families
from app.domain.waitlist.models import WaitlistEntry
from app.errors import Invalid, NotFound
from app.money import ZERO
from app.text import clean

REASON_LENGTH = 200

_lots, _asked = CompensationLot.__table__, MakeupRequest.__table__
_b, _c, _u, _p = Booking.__table__, MakeupCredit.__table__, User.__table__, Profile.__table__
_o, _refunds, _cases = PaymentOrder.__table__, Refund.__table__, MoneyCase.__table__
_waits = WaitlistEntry.__table__
_staff, _wallets = Staff.__table__, Wallet.__table__
#: credits that can still be used or given back
_ALIVE = (CreditStatus.AVAILABLE, CreditStatus.USED)


@dataclass(frozen=True, slots=True)
class Merged:
    """`moved` is what went from the one wallet to the other, negative for a debt; both in yuan."""

    from_family_id: int
    into_family_id: int
    moved: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class PersonMoved:
    """Both balances afterwards, in yuan; `bookings` that went along."""

    to_family_id: int
    bookings: int
    left_balance: Decimal
    new_balance: Decimal


@dataclass(slots=True)
class _Pair:
    """Both families' rows, locked; then both wallets'."""

    source: Family
    target: Family
    reason: str
    out: LockedWallet | None = None
    into: LockedWallet | None = None

    @property
    def ids(self) -> tuple[int, int]:
        return self.source.id, self.target.id


@transactional
def merge_families(
    *,
    from_family_id: int,
    into_family_id: int,
    reason: str,
    actor: Actor,
    seen: tuple[int, int] | None = None,
    request_key: RequestKey | None = None,
) -> Merged:
    """Put everybody and everything of one family into another and close its emptied wallet. It can't be undone.

    A debt moves as well, whatever the other wallet's overdraft limit. `seen` are the versions of both wallets that the
    confirmation showed. Raises NotFound, Invalid, FamilyMerged, OpenItems, BalanceMoved, BalanceOutOfRange, Forbidden,
    OwnFamily, StepUpRequired.
    """
    linked = list(db.session.scalars(sa.select(Staff.id).where(Staff.family_id == from_family_id)))
    pair = _begin(from_family_id, into_family_id, reason, actor, *linked)
    lock_rows(Profile, db.session.scalars(sa.select(Profile.id).where(Profile.family_id == from_family_id)))
    lock_rows(PaymentOrder, db.session.scalars(sa.select(_o.c.id).where(_o.c.family_id == from_family_id)))
    still = (Booking.family_id == from_family_id, Booking.status == BookingStatus.BOOKED)
    lock_rows(Booking, db.session.scalars(sa.select(Booking.id).where(*still)))
    for owed in (MakeupCredit, CompensationLot, MakeupRequest):
        lock_rows(owed, db.session.scalars(sa.select(owed.id).where(owed.family_id == from_family_id)))
    _lock_wallets(pair)
    _check_merge(pair, seen)
    moved, before = pair.out.balance, pair.into.balance
    for table in (_p, _o, _refunds, _b, _c, _lots, _asked, _u, _staff, _cases, _waits):
        execute(table.update().where(table.c.family_id == from_family_id).values(family_id=into_family_id))
    # The people first: the rows of the ledger tell the family that they now belong to.
    # A movement stays for ever: it names the family by its number (S8).
    reason = f"家庭合并：家庭 {pair.source.id}"
    merging.move(pair.out, pair.into, moved, key=f"merge:{from_family_id}", reason=reason, actor=actor)
    merging.close_into(pair.out, pair.into)
    pair.source.merged_into = into_family_id
    index_families(list(pair.ids))
    policies.carry_over(*pair.ids, actor)
    db.session.expire_all()
    _record_merge(pair, moved, before, actor)
    return Merged(from_family_id, into_family_id, moved, pair.into.balance)


@transactional
def move_profile(
    *,
    profile_id: int,
    from_family_id: int,
    to_family_id: int,
    reason: str,
    actor: Actor,
    amount: Decimal = ZERO,
    request_key: RequestKey | None = None,
) -> PersonMoved:
    """Move a student with what is still to come of bookings and credits; the balance stays but for `amount` yuan.

    A booking that is cancelled later is refunded to the wallet that paid it. Raises NotFound, Invalid, FamilyMerged,
    NotEnough, WalletFrozen, WalletClosed, Forbidden, OwnFamily, StepUpRequired.
    """
    pair = _begin(from_family_id, to_family_id, reason, actor)
    profile = lock_row(Profile, profile_id)
    if profile is None or profile.family_id != from_family_id:
        raise NotFound("这位学员不在这个家庭里，可能刚刚被转走")
    orders = two_families.live_orders(from_family_id, profile_id)
    lock_rows(PaymentOrder, orders)
    bookings = [row.id for row in lock_rows(Booking, two_families.live_bookings(from_family_id, profile_id))]
    mine = sa.and_(_c.c.profile_id == profile_id, _c.c.status.in_(_ALIVE))
    lock_rows(MakeupCredit, db.session.scalars(sa.select(_c.c.id).where(mine)))
    lots = [
        row.id
        for row in lock_rows(
            CompensationLot, db.session.scalars(sa.select(_lots.c.id).where(_lots.c.profile_id == profile_id))
        )
    ]
    asked = sa.and_(_asked.c.credit_id == _c.c.id, _asked.c.status == RequestStatus.OPEN)
    requests = lock_rows(MakeupRequest, db.session.scalars(sa.select(_asked.c.id).join(_c, asked).where(mine)))
    _lock_wallets(pair)
    check_amount(amount, pair.out.balance)
    profile.family_id = to_family_id
    execute(_o.update().where(_o.c.id.in_(orders)).values(family_id=to_family_id))
    execute(_b.update().where(_b.c.id.in_(bookings)).values(family_id=to_family_id))
    execute(_c.update().where(mine).values(family_id=to_family_id))
    execute(_lots.update().where(_lots.c.id.in_(lots)).values(family_id=to_family_id))
    execute(_asked.update().where(_asked.c.id.in_([row.id for row in requests])).values(family_id=to_family_id))
    execute(_waits.update().where(_waits.c.live_profile_id == profile_id).values(family_id=to_family_id))
    return _finish_move(pair, "profile", profile_id, "学员", len(bookings), amount, actor, request_key)


@transactional
def move_parent(
    *,
    user_id: int,
    from_family_id: int,
    to_family_id: int,
    reason: str,
    actor: Actor,
    amount: Decimal = ZERO,
    request_key: RequestKey | None = None,
) -> PersonMoved:
    """Move a parent, who sees the other family from the next call on; students, bookings and balance stay, but for
    `amount` yuan. Raises as `move_profile`."""
    pair = _begin(from_family_id, to_family_id, reason, actor)
    user = lock_row(User, user_id)
    if user is None or user.family_id != from_family_id:
        raise NotFound("这位家长不在这个家庭里，可能刚刚被转走")
    _lock_wallets(pair)
    check_amount(amount, pair.out.balance)
    user.family_id = to_family_id
    return _finish_move(pair, "user", user_id, "家长", 0, amount, actor, request_key)


# ── the steps that they share ───────────────────────────────────────────────────────────────────────


def _begin(from_id: int, to_id: int, reason: str, actor: Actor, *others: int) -> _Pair:
    """Permission, proof, reason; then the person's row and those of `others` in staff, then both families."""
    roles.require(actor, Permission.FAMILY_MERGE)
    proof.require_recent(actor)
    reason = clean(reason, REASON_LENGTH)
    if not reason:
        raise Invalid.field("reason", "请填写原因")
    if from_id == to_id:
        raise Invalid.field("to_family_id", "请选择另一个家庭")
    person = persons.hold(actor, *others)[actor.id]
    families = {family.id: family for family in lock_rows(Family, (from_id, to_id))}
    if len(families) != 2:
        raise NotFound("没有这个家庭")
    for family in families.values():
        if family.merged_into is not None:
            heir = db.session.get(Family, family.merged_into)
            raise FamilyMerged(f"「{family.name}」已并入「{heir.name}」", data={"family_id": heir.id})
        persons.refuse_own_family(person, family.id)
    return _Pair(families[from_id], families[to_id], reason)


def _lock_wallets(pair: _Pair) -> None:
    query = sa.select(_wallets.c.family_id, _wallets.c.id).where(_wallets.c.family_id.in_(pair.ids))
    wallet_ids = dict(iter(db.session.execute(query)))
    held = ledger.lock_wallets(list(wallet_ids.values()))
    pair.out, pair.into = held[wallet_ids[pair.source.id]], held[wallet_ids[pair.target.id]]


def _check_merge(pair: _Pair, seen: tuple[int, int] | None) -> None:
    # The wallets are locked, so what asks for money on them waits: what is not there now comes too late.
    if seen is not None and seen != (pair.out.version, pair.into.version):
        raise BalanceMoved
    sides = [two_families.side(family_id) for family_id in pair.ids]
    obstacles = two_families.wallet_obstacles(*sides) + two_families.open_items(pair.source.id, pair.out.id)
    if obstacles:
        raise OpenItems(f"{'；'.join(obstacles)}。办结后再合并", data={"items": obstacles})


def check_amount(amount: Decimal, balance: Decimal) -> None:
    """Whether that much yuan can go along from a wallet with this balance. Raises Invalid, NotEnough."""
    if not amount.is_finite() or amount < ZERO:
        raise Invalid.field("amount", "转出金额不能小于 0")
    if amount > ZERO and amount > balance:
        sentence = f"余额只有 {money.yuan(balance)}，不能转出 {money.yuan(amount)}"
        raise NotEnough(sentence, errors={"amount": [sentence]}, data={"balance": money.plain(balance)})


def _finish_move(
    pair: _Pair, kind: str, person_id: int, word: str, bookings: int, amount: Decimal, actor: Actor,
    request_key: RequestKey | None,
) -> PersonMoved:  # fmt: skip
    """Money, index, traces. The key of the money is the request's for ever (R5)."""
    key = f"move:{request_key.scope}:{request_key.key}" if request_key else f"move:{ids.new_hex()}"
    reason = f"{word}转到家庭 {pair.target.id}"
    merging.move(pair.out, pair.into, amount, key=key, reason=reason, actor=actor)
    index_families(list(pair.ids))
    db.session.expire_all()
    for family in (pair.source, pair.target):
        audit.record(
            actor, f"{kind}.moved", target_type=kind, target_id=person_id, family_id=family.id, reason=pair.reason,
            before={"family_id": pair.source.id},
            after={"family_id": pair.target.id, "bookings": bookings, "amount": money.plain(amount)},
        )  # fmt: skip
    if amount > ZERO:
        _card(pair, "staff.family_transfer", f"{word}转家庭并划转余额", f"{kind}{person_id}:{ids.new_hex()}", actor, [
            ["转出", f"{pair.source.name}，余额 {money.yuan(pair.out.balance)}"],
            ["转入", f"{pair.target.name}，余额 {money.yuan(pair.into.balance)}"],
            ["金额", money.yuan(amount)],
        ])  # fmt: skip
    return PersonMoved(pair.target.id, bookings, pair.out.balance, pair.into.balance)


def _record_merge(pair: _Pair, moved: Decimal, before: Decimal, actor: Actor) -> None:
    balances = {"balance": money.plain(moved)}, {"balance": money.plain(pair.out.balance)}
    audit.record(
        actor, "family.merged", target_type="family", target_id=pair.source.id, family_id=pair.source.id,
        before=balances[0], after=balances[1] | {"merged_into": pair.target.id}, reason=pair.reason,
    )  # fmt: skip
    audit.record(
        actor, "family.absorbed", target_type="family", target_id=pair.target.id, family_id=pair.target.id,
        before={"balance": money.plain(before)},
        after={"balance": money.plain(pair.into.balance), "merged_family": pair.source.id}, reason=pair.reason,
    )  # fmt: skip
    _card(pair, "staff.families_merged", "合并家庭", f"family{pair.source.id}", actor, [
        ["并入", pair.target.name], ["被并入的家庭", pair.source.name], ["带入余额", money.yuan(moved)],
        ["合并后余额", f"{money.yuan(before)} → {money.yuan(pair.into.balance)}"],
    ])  # fmt: skip


def _card(pair: _Pair, type: str, title: str, dedupe: str, actor: Actor, lines: list[list[str]]) -> None:
    outbox.tell_staff(
        "money", type,
        {"title": title, "colour": "orange", "lines": [*lines, ["操作人", actor.name], ["原因", pair.reason]],
         "link": {"text": "查看家庭", "path": f"/families/{pair.target.id}"}},
        dedupe=dedupe,
    )  # fmt: skip
