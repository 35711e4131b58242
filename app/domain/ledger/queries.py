"""Reading wallets and their transactions. Every list goes by seq, newest first, and is never slow at depth (W8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.ledger import rules
from app.domain.ledger.errors import WalletNotFound
from app.domain.ledger.models import TransactionType, Wallet, WalletTransaction
from app.domain.ledger.rules import WalletState
from app.domain.people import parent_sessions
from app.domain.people.models import Profile, Staff, User
from app.domain.people.parent_sessions import SignedInParent
from app.domain.policy.models import PolicyValue
from app.domain.policy.registry import POLICIES
from app.errors import Invalid
from app.paging import Listing, Page, whole
from app.single_read import SingleRead

_wallets = Wallet.__table__
_rows = WalletTransaction.__table__
_policies = PolicyValue.__table__


# ── the wallet ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class WalletView:
    """A wallet as people see it. Amounts in yuan; `overdraft_limit` is positive and the one in force."""

    id: int
    family_id: int
    balance: Decimal
    status: str
    state: WalletState
    version: int
    overdraft_limit: Decimal
    #: whether that limit is the wallet's own
    own_limit: bool
    available: Decimal
    bypass_until: datetime | None
    bypass_reason: str | None
    #: since when it owes; None while it does not
    arrears_since: datetime | None
    updated_at: datetime

    @property
    def state_text(self) -> str:
        return rules.STATE_TEXTS[self.state]

    @property
    def arrears_days(self) -> int | None:
        """Whole days of this arrears, as its reminders count them (N7)."""
        return None if self.arrears_since is None else (clock.now() - self.arrears_since).days

    @property
    def booking_allowed(self) -> bool:
        """Whether a booking may be paid from it as far as status and arrears go (W6, W23)."""
        return self.state != WalletState.BLOCKED


def _policy_text(name: str) -> Any:
    return sa.select(_policies.c.value).where(_policies.c.name == name).scalar_subquery().label(name)


# One round trip: this is read on every page of the mini program.
_view = sa.select(
    _wallets,
    _policy_text("overdraft_limit").label("limit_text"),
    _policy_text("low_balance_threshold").label("low_text"),
    _policy_text("arrears_block_threshold").label("block_text"),
)
_view_by_family = _view.where(_wallets.c.family_id == sa.bindparam("key"))
_view_by_id = _view.where(_wallets.c.id == sa.bindparam("key"))


def _figure(name: str, text: str | None) -> Decimal:
    policy = POLICIES[name]
    return policy.parse(policy.default if text is None else text)


def wallet(*, wallet_id: int | None = None, family_id: int | None = None) -> WalletView:
    """The wallet as it is now, with its state by the policies in force. Raises WalletNotFound."""
    query, key = (_view_by_family, family_id) if wallet_id is None else (_view_by_id, wallet_id)
    row = db.session.execute(query, {"key": key}).first()
    if row is None:
        raise WalletNotFound
    limit = row.overdraft_limit
    if limit is None:
        limit = _figure("overdraft_limit", row.limit_text)
    state = rules.wallet_state(
        row.balance,
        row.status,
        low_threshold=_figure("low_balance_threshold", row.low_text),
        block_threshold=_figure("arrears_block_threshold", row.block_text),
        bypass_until=row.bypass_until,
        now=clock.now(),
    )
    return WalletView(
        id=row.id,
        family_id=row.family_id,
        balance=row.balance,
        status=row.status,
        state=state,
        version=row.version,
        overdraft_limit=limit,
        own_limit=row.overdraft_limit is not None,
        available=rules.available(row.balance, limit),
        bypass_until=row.bypass_until,
        bypass_reason=row.bypass_reason,
        arrears_since=row.arrears_since,
        updated_at=row.updated_at,
    )


@dataclass(frozen=True, slots=True)
class BalanceView:
    """What the mini program asks most often."""

    balance: Decimal
    state: WalletState
    updated_at: datetime


_balance_of_sign_in = SingleRead(
    parent_sessions.live.add_columns(
        _wallets.c.balance,
        _wallets.c.status,
        _wallets.c.bypass_until,
        _wallets.c.updated_at,
        _policy_text("low_balance_threshold").label("low_text"),
        _policy_text("arrears_block_threshold").label("block_text"),
    ).join(_wallets, _wallets.c.family_id == User.family_id)
)


def balance_of_sign_in(session_id: str, user_id: int) -> tuple[SignedInParent, BalanceView] | None:
    """The parent of a sign-in that was not ended, and the family's balance: one statement for the hottest call."""
    row = _balance_of_sign_in.row({"session_id": session_id, "user_id": user_id})
    if row is None:
        return None
    state = rules.wallet_state(
        row.balance,
        row.status,
        low_threshold=_figure("low_balance_threshold", row.low_text),
        block_threshold=_figure("arrears_block_threshold", row.block_text),
        bypass_until=row.bypass_until,
        now=clock.now(),
    )
    return parent_sessions.parent_of(session_id, user_id, row), BalanceView(row.balance, state, row.updated_at)


def get_balance(*, wallet_id: int | None = None, family_id: int | None = None) -> Decimal:
    """The balance now, in yuan. Raises WalletNotFound."""
    where = _wallets.c.family_id == family_id if wallet_id is None else _wallets.c.id == wallet_id
    balance = db.session.execute(sa.select(_wallets.c.balance).where(where)).scalar_one_or_none()
    if balance is None:
        raise WalletNotFound
    return balance


def staff_wallet(family_id: int) -> WalletView | None:
    """The wallet for the family page; None for a family that does not exist."""
    try:
        return wallet(family_id=family_id)
    except WalletNotFound:
        return None


# ── its transactions ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TransactionView:
    """One movement as people see it. `status` is `cancelled` for a pair that undid itself (96.32)."""

    id: int
    wallet_id: int
    seq: int
    type: str
    amount: Decimal
    balance_before: Decimal
    balance_after: Decimal
    reference_type: str
    reference_id: str
    reverses_id: int | None
    reason: str
    status: str
    profile_id: int | None
    profile_name: str | None
    performed_by: int | None
    performed_by_name: str | None
    created_at: datetime

    @property
    def type_text(self) -> str:
        return rules.TYPE_TEXTS[TransactionType(self.type)]

    @property
    def reversed(self) -> bool:
        return self.status == "cancelled"


@dataclass(frozen=True, slots=True)
class History:
    """Movements newest first; `next_cursor` goes on, None at the end."""

    items: Sequence[TransactionView]
    next_cursor: str | None


MAX_LIMIT = 100

_later = _rows.alias("later")
_profiles = Profile.__table__
_staff = Staff.__table__
# A refund's debit stays posted (96.32); whatever else was reversed shows as cancelled, both sides.
_status = sa.case(
    (sa.and_(_rows.c.reverses_id.is_not(None), _rows.c.type != TransactionType.REFUND), "cancelled"),
    (_later.c.id.is_not(None), "cancelled"),
    else_="posted",
).label("status")
_columns = (
    sa.select(
        _rows.c.id, _rows.c.wallet_id, _rows.c.seq, _rows.c.type, _rows.c.amount, _rows.c.balance_before,
        _rows.c.balance_after, _rows.c.reference_type, _rows.c.reference_id, _rows.c.reverses_id, _rows.c.reason,
        _status, _rows.c.profile_id, _profiles.c.name.label("profile_name"), _rows.c.performed_by,
        _staff.c.display_name.label("performed_by_name"), _rows.c.created_at,
    )
    .select_from(
        _rows.outerjoin(_later, sa.and_(_later.c.reverses_id == _rows.c.id, _later.c.type != TransactionType.REFUND))
        .outerjoin(_profiles, _profiles.c.id == _rows.c.profile_id)
        .outerjoin(_staff, _staff.c.id == _rows.c.performed_by)
    )
)  # fmt: skip


def select_history(
    wallet_id: int,
    *,
    type: str | None = None,
    date_from: date | None = None,
    date_to: date | None = None,
    profile_id: int | None = None,
) -> sa.Select:
    """The movements asked for, unordered. Dates are studio days, both included.

    Each filter has its index: (wallet_id, seq), (wallet_id, type, seq), (wallet_id, created_at), (profile_id, seq).
    """
    query = _columns.where(_rows.c.wallet_id == wallet_id)
    if type is not None:
        query = query.where(_rows.c.type == type)
    if profile_id is not None:
        query = query.where(_rows.c.profile_id == profile_id)
    if date_from is not None:
        query = query.where(_rows.c.created_at >= clock.day_bounds(date_from)[0])
    if date_to is not None:
        query = query.where(_rows.c.created_at < clock.day_bounds(date_to)[1])
    return query


def history(
    wallet_id: int,
    *,
    type: str | None = None,
    date_from: date | None = None,
    date_to: date | None = None,
    profile_id: int | None = None,
    cursor: str | None = None,
    limit: int = 20,
) -> History:
    """One page for the mini program, newest first. Raises Invalid naming `cursor`, `limit` or `type`."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid.field("limit", f"每页条数须在 1 到 {MAX_LIMIT} 之间")
    if type is not None and type not in set(TransactionType):
        raise Invalid.field("type", "没有这种流水类型")
    query = select_history(wallet_id, type=type, date_from=date_from, date_to=date_to, profile_id=profile_id)
    if cursor is not None:
        query = query.where(_rows.c.seq < _seq_of(cursor))
    rows = list(db.session.execute(query.order_by(_rows.c.seq.desc()).limit(limit + 1)))
    items = [TransactionView(*row) for row in rows[:limit]]
    return History(items, str(items[-1].seq) if len(rows) > limit else None)


def _seq_of(cursor: str) -> int:
    if not cursor.isascii() or not cursor.isdigit() or not 1 <= len(cursor) <= 18:
        raise Invalid.field("cursor", "翻页标记无效，请从第一页重新开始")
    return int(cursor)


def staff_history(
    wallet_id: int,
    *,
    type: str | None = None,
    date_from: date | None = None,
    date_to: date | None = None,
    before: int | None = None,
    after: int | None = None,
    limit: int = 50,
) -> Page:
    """One page for the family page; `before` and `after` are the seq that the page's links carry."""
    query = select_history(wallet_id, type=type, date_from=date_from, date_to=date_to)
    if after is not None:
        query = query.where(_rows.c.seq > after).order_by(_rows.c.seq.asc())
    else:
        query = query.order_by(_rows.c.seq.desc())
        if before is not None:
            query = query.where(_rows.c.seq < before)
    rows = [TransactionView(*row) for row in db.session.execute(query.limit(limit + 1))]
    more, items = len(rows) > limit, rows[:limit]
    if after is not None:
        items.reverse()
    newer = older = None
    if items:
        newer = items[0].seq if (more if after is not None else before is not None) else None
        older = items[-1].seq if (more or after is not None) else None
    return Page(items, newer, older)


def every(
    wallet_id: int, *, type: str | None = None, date_from: date | None = None, date_to: date | None = None
) -> Listing:
    """All of the family page's list, for an export; of a million rows too."""
    query = select_history(wallet_id, type=type, date_from=date_from, date_to=date_to)
    return whole(query, _rows.c.seq, dress=lambda rows: [TransactionView(*row) for row in rows])


def transaction(transaction_id: int) -> TransactionView | None:
    """One movement, or None."""
    row = db.session.execute(_columns.where(_rows.c.id == transaction_id)).first()
    return None if row is None else TransactionView(*row)


def reversal_of(transaction_id: int) -> int | None:
    """The id of the movement that undid this one, or None."""
    return db.session.execute(sa.select(_rows.c.id).where(_rows.c.reverses_id == transaction_id)).scalar()
