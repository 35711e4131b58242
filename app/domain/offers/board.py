"""The staff's board of queues (Q18): read in a fixed number of statements, however many sessions have one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings import staff_choices
from app.domain.catalog import queries as catalog
from app.domain.catalog.models import CourseSchedule, CourseType, ScheduleStatus
from app.domain.catalog.queries import SessionCard
from app.domain.ledger.models import Wallet
from app.domain.outbox.models import Channel, MessageConsent, Notification, Status
from app.domain.people.models import Family, Profile, Staff, User
from app.domain.policy import service as policy
from app.domain.waitlist.models import (
    LIVE,
    EntryStatus,
    OfferStatus,
    ReleaseStatus,
    SeatRelease,
    WaitlistEntry,
    WaitlistNotification,
    WaitlistOffer,
)
from app.domain.waitlist.rules import cutoff_at

AHEAD = timedelta(days=14)
MESSAGE = "waitlist_offer"

_e, _o, _r = WaitlistEntry.__table__, WaitlistOffer.__table__, SeatRelease.__table__
_wn, _n = WaitlistNotification.__table__, Notification.__table__
_s, _t, _w = CourseSchedule.__table__, CourseType.__table__, Wallet.__table__
_m = MessageConsent.__table__
_adder, _caller = sa.orm.aliased(Staff), sa.orm.aliased(Staff)


@dataclass(frozen=True, slots=True)
class LiveOffer:
    """A seat offered now. `ends_at` is when an answer must have come, the grace of one who began included; `reached`
    is whether WeChat has brought a message of it, or still may."""

    id: int
    kind: str
    offered_at: datetime
    deadline: datetime
    begun_at: datetime | None
    ends_at: datetime
    reached: bool


@dataclass(frozen=True, slots=True)
class Told:
    """The message of the last offer that came nearest to a parent of the family: queued, and what became of it."""

    channel: str
    status: str
    queued_at: datetime
    sent_at: datetime | None
    error: str | None
    resent: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One place in a queue. `unpaid` says why the wallet would not pay now; `consents` is how many messages of a seat
    the family's parents still allow."""

    id: int
    position: int
    status: str
    profile_id: int
    student: str
    family_id: int
    family: str
    rank: int
    joined_at: datetime
    auto_accept: bool
    by_credit: bool
    skip_reason: str | None
    staff_note: str | None
    added_by: str | None
    called_at: datetime | None
    called_by: str | None
    consents: int
    unpaid: str | None
    offer: LiveOffer | None
    told: Told | None

    @property
    def reachable(self) -> bool:
        """Whether WeChat brought the message of the offer, or would take one, as far as we know (Q14)."""
        return self.offer.reached if self.offer is not None else self.consents > 0

    @property
    def to_call(self) -> bool:
        """A seat is offered, nobody could tell them, and nobody has phoned yet."""
        phoned = self.called_at is not None and self.offer is not None and self.called_at >= self.offer.offered_at
        return self.offer is not None and not self.reachable and not phoned


@dataclass(frozen=True, slots=True)
class Kept:
    """A freed seat that is kept for this queue."""

    id: int
    freed_at: datetime
    cause: str
    offered: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """One session with its queue in order. `version` is that of the session's row, for a change of its capacity."""

    session: SessionCard
    policy: str
    cutoff_at: datetime
    lines: list[Line]
    kept: list[Kept]

    @property
    def full(self) -> bool:
        return len(self.lines) >= self.session.waitlist_capacity

    @property
    def closed(self) -> bool:
        """After the cutoff nothing is offered any more (Q4)."""
        return clock.now() >= self.cutoff_at

    @property
    def held_alone(self) -> int:
        """Kept seats that one parent has an offer of their own for."""
        return sum(1 for line in self.lines if line.offer is not None and line.offer.kind == "exclusive")

    @property
    def to_offer(self) -> int:
        """Kept seats that staff may still offer to one."""
        return max(0, len(self.kept) - self.held_alone)


# ── the board ───────────────────────────────────────────────────────────────────────────────────────


def queues(*, schedule_ids: Collection[int] | None = None) -> list[Queue]:
    """The sessions of the days ahead that somebody waits for, and every one that has a seat kept, by time; or just
    these."""
    now = clock.now()
    has_queue = sa.exists().where(_e.c.course_schedule_id == _s.c.id, _e.c.status.in_(LIVE))
    query = catalog.select().add_columns(_t.c.waitlist_policy)
    if schedule_ids is None:
        query = query.where(
            _s.c.status == ScheduleStatus.SCHEDULED, _s.c.starts_at > now,
            # What is offered is seen however far ahead it lies: the menu and the start page count it too.
            sa.or_(_s.c.kept > 0, sa.and_(_s.c.starts_at <= now + AHEAD, has_queue)),
        )  # fmt: skip
    else:
        query = query.where(_s.c.id.in_(schedule_ids))
    sessions = [(catalog.card(row), row.waitlist_policy) for row in
                db.session.execute(query.order_by(_s.c.starts_at, _s.c.id))]  # fmt: skip
    ids = [session.id for session, _ in sessions]
    if not ids:
        return []
    lines, kept = _lines({session.id: session for session, _ in sessions}, now), _kept(ids)
    before, quiet = policy.get("waitlist_cutoff"), policy.get("waitlist_quiet_hours")
    return [
        Queue(session, word, cutoff_at(session.starts_at, before, quiet), lines.get(session.id, []),
              kept.get(session.id, []))
        for session, word in sessions
    ]  # fmt: skip


def queue(schedule_id: int) -> Queue | None:
    """One session's queue, whether or not anybody waits."""
    found = queues(schedule_ids=[schedule_id])
    return found[0] if found else None


def _lines(sessions: dict[int, SessionCard], now: datetime) -> dict[int, list[Line]]:
    consents = (
        sa.select(sa.func.sum(_m.c.remaining))
        .select_from(_m.join(User.__table__, User.id == _m.c.user_id))
        .where(User.family_id == _e.c.family_id, _m.c.type == MESSAGE)
        .correlate(_e)
        .scalar_subquery()
    )
    query = (
        sa.select(
            _e, Profile.name.label("student"), Family.name.label("family"), _adder.display_name.label("adder"),
            _caller.display_name.label("caller"), consents.label("consents"),
            _w.c.status.label("purse"), _w.c.balance, _w.c.overdraft_limit, _w.c.bypass_until,
        )
        .select_from(
            _e.join(Profile.__table__, Profile.id == _e.c.profile_id)
            .join(Family.__table__, Family.id == _e.c.family_id)
            .outerjoin(_w, _w.c.family_id == _e.c.family_id)
            .outerjoin(_adder, _adder.id == _e.c.added_by)
            .outerjoin(_caller, _caller.id == _e.c.called_by)
        )
        .where(_e.c.course_schedule_id.in_(sessions), _e.c.status.in_(LIVE))
        .order_by(_e.c.course_schedule_id, _e.c.rank, _e.c.joined_at, _e.c.id)
    )  # fmt: skip
    rows = db.session.execute(query).all()
    messages = _messages([row.id for row in rows])
    offers = _offers([row.id for row in rows], messages, now)
    purse = _Purse(policy.get("overdraft_limit"), policy.get("arrears_block_threshold"), now)
    found: dict[int, list[Line]] = defaultdict(list)
    for row in rows:
        queue, session = found[row.course_schedule_id], sessions[row.course_schedule_id]
        by_credit = row.credit_id is not None or row.use_compensation
        queue.append(Line(
            id=row.id, position=len(queue) + 1, profile_id=row.profile_id, student=row.student, family_id=row.family_id,
            # An offer whose time has passed counts for nothing, whether or not anything has moved on yet (Q13).
            status=EntryStatus.OFFERED if row.id in offers else EntryStatus.WAITING,
            family=row.family, rank=row.rank, joined_at=row.joined_at, auto_accept=row.auto_accept,
            by_credit=by_credit, skip_reason=row.skip_reason, staff_note=row.staff_note, added_by=row.adder,
            called_at=row.called_at, called_by=row.caller, consents=int(row.consents or 0),
            unpaid=None if by_credit or session.is_trial else purse.refusal(row, session.price),
            offer=offers.get(row.id), told=_nearest(messages.get(row.id, [])),
        ))  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class _Purse:
    """The policies that say whether a wallet pays, read once for the whole board."""

    limit: Decimal
    threshold: Decimal
    now: datetime

    def refusal(self, row: sa.Row, price: Decimal) -> str | None:
        if row.purse is None:
            return "没有钱包"
        wallet = _Wallet(row.purse, row.balance, self.limit if row.overdraft_limit is None else row.overdraft_limit)
        bypassed = row.bypass_until is not None and self.now < row.bypass_until
        refused = staff_choices.unpaid(wallet, price, threshold=self.threshold, bypassed=bypassed)
        return None if refused is None else refused.code


@dataclass(frozen=True, slots=True)
class _Wallet:
    status: str
    balance: Decimal
    overdraft_limit: Decimal


#: what became of a message, the nearest to the parent first
_NEARNESS = (
    (Channel.WECHAT, Status.SENT), (Channel.WECHAT, Status.SENDING), (Channel.WECHAT, Status.PENDING),
    (Channel.IN_APP, Status.SENT), (Channel.WECHAT, Status.FAILED),
)  # fmt: skip
_UNREACHED = (Status.FAILED, Status.SUPPRESSED)


def _messages(entry_ids: list[int]) -> dict[int, list[sa.Row]]:
    """Entry → the messages of its last offer."""
    last = sa.select(sa.func.max(_wn.c.offer_id)).where(_wn.c.entry_id.in_(entry_ids)).group_by(_wn.c.entry_id)
    query = (
        sa.select(_wn.c.entry_id, _wn.c.offer_id, _wn.c.resent_by, _n.c.channel, _n.c.status, _n.c.created_at,
                  _n.c.sent_at, _n.c.error)
        .join(_n, _n.c.id == _wn.c.notification_id)
        .where(_wn.c.offer_id.in_(last))
        .order_by(_wn.c.id)
    )  # fmt: skip
    found: dict[int, list[sa.Row]] = defaultdict(list)
    for row in db.session.execute(query):
        found[row.entry_id].append(row)
    return found


def _nearest(messages: list[sa.Row]) -> Told | None:
    if not messages:
        return None
    order = {pair: place for place, pair in enumerate(_NEARNESS)}
    best = min(reversed(messages), key=lambda row: order.get((row.channel, row.status), len(order)))
    resent = any(row.resent_by is not None for row in messages)
    return Told(best.channel, best.status, best.created_at, best.sent_at, best.error, resent)


def _offers(entry_ids: list[int], messages: dict[int, list[sa.Row]], now: datetime) -> dict[int, LiveOffer]:
    query = sa.select(_o).where(_o.c.entry_id.in_(entry_ids), _o.c.status == OfferStatus.LIVE, _o.c.ends_at > now)
    return {
        row.entry_id: LiveOffer(
            row.id, row.kind, row.offered_at, row.deadline, row.begun_at, row.ends_at,
            reached=any(one.offer_id == row.id and one.channel == Channel.WECHAT and one.status not in _UNREACHED
                        for one in messages.get(row.entry_id, [])),
        )
        for row in db.session.execute(query)
    }  # fmt: skip


def _kept(schedule_ids: list[int]) -> dict[int, list[Kept]]:
    query = (
        sa.select(_r)
        .where(_r.c.course_schedule_id.in_(schedule_ids), _r.c.status == ReleaseStatus.KEPT)
        .order_by(_r.c.id)
    )
    found: dict[int, list[Kept]] = defaultdict(list)
    for row in db.session.execute(query):
        found[row.course_schedule_id].append(Kept(row.id, row.freed_at, row.cause, row.round_id is not None))
    return found
