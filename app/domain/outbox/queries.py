"""Reading the outbox: a parent's in-app list, the notification centre, delivery figures, the state of the system."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, db_now, transactional
from app.domain.outbox import jobs, wording, wordings
from app.domain.outbox.kinds import KINDS
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.outbox.schedule import JOBS
from app.errors import NotFound
from app.paging import Listing, Page, keyset, whole
from app.wall_clock import studio_day

_rows = Notification.__table__
_families = sa.table("families", sa.column("id"), sa.column("name"))
_IN_APP = ("id", "type", "title", "text", "page", "created_at", "read_at")


# ── a parent's in-app messages (N8) ─────────────────────────────────────────────────────────────────


def in_app(user_id: int, *, before: int | None = None, limit: int = 20, unread: bool = False):
    """(rows, id to go on from or None), newest first; rows have id, type, title, text, page, created_at, read_at."""
    query = sa.select(*(_rows.c[name] for name in _IN_APP)).where(*_mine(user_id))
    if unread:
        query = query.where(_rows.c.read_at.is_(None))
    if before is not None:
        query = query.where(_rows.c.id < before)
    rows = list(db.session.execute(query.order_by(_rows.c.id.desc()).limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def unread_count(user_id: int) -> int:
    query = sa.select(sa.func.count()).select_from(_rows).where(*_mine(user_id), _rows.c.read_at.is_(None))
    return db.session.scalar(query) or 0


@transactional
def mark_read(*, user_id: int, notification_id: int, request_key: RequestKey | None = None):
    """Note that the parent read it, and return the row; the first time stands. Raises NotFound for others' rows."""
    mine = (*_mine(user_id), _rows.c.id == notification_id)
    db.session.execute(_rows.update().where(*mine, _rows.c.read_at.is_(None)).values(read_at=clock.now()))
    row = db.session.execute(sa.select(*(_rows.c[name] for name in _IN_APP)).where(*mine)).first()
    if row is None:
        raise NotFound("没有找到这条消息")
    return row


def _mine(user_id: int) -> tuple:
    return _rows.c.user_id == user_id, _rows.c.channel == Channel.IN_APP


# ── the notification centre (N10) ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class NoticeFilter:
    """What a person asked for; None means all. Days are the studio's, inclusive."""

    family_id: int | None = None
    type: str | None = None
    status: str | None = None
    channel: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    #: one of OUTCOMES
    outcome: str | None = None
    #: of these alone
    families: tuple[int, ...] | None = None


#: WeChat's word that the parent does not allow this message
NO_CONSENT = "43101"
_later = _rows.alias("later")

#: what became of a message beyond its status. `lost`: given up, and nothing took over, neither the in-app list nor a
#: person; `refused` by the parent's own settings at WeChat; `failed` for any other reason; `missed`: not in WeChat, for
#: whatever reason; in-app `read` and `unread`
OUTCOMES: dict[str, tuple] = {
    "lost": (
        _rows.c.status == Status.FAILED,
        # Type and time are the same or later by nature; named so that an index finds what follows.
        ~sa.exists().where(
            _later.c.follows_id == _rows.c.id,
            _later.c.type == _rows.c.type,
            _later.c.created_at >= _rows.c.created_at,
        ),
    ),
    "refused": (_rows.c.status == Status.FAILED, _rows.c.error_code == NO_CONSENT),
    "failed": (
        _rows.c.status == Status.FAILED,
        sa.or_(_rows.c.error_code.is_(None), _rows.c.error_code != NO_CONSENT),
    ),
    "missed": (sa.or_(_rows.c.channel == Channel.IN_APP, _rows.c.status == Status.FAILED),),
    "read": (_rows.c.channel == Channel.IN_APP, _rows.c.read_at.is_not(None)),
    "unread": (_rows.c.channel == Channel.IN_APP, _rows.c.read_at.is_(None)),
}


def select(asked: NoticeFilter) -> sa.Select:
    """The rows asked for, unordered."""
    query = sa.select(_rows).where(*OUTCOMES.get(asked.outcome or "", ()))
    for name in ("family_id", "type", "status", "channel"):
        value = getattr(asked, name)
        if value is not None:
            query = query.where(_rows.c[name] == value)
    if asked.families is not None:
        query = query.where(_rows.c.family_id.in_(asked.families))
    if asked.date_from:
        query = query.where(_rows.c.created_at >= clock.day_bounds(asked.date_from)[0])
    if asked.date_to:
        query = query.where(_rows.c.created_at < clock.day_bounds(asked.date_to)[1])
    return query


def page(asked: NoticeFilter, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
    """One page of messages, newest first, with the family's name as `family_name`."""
    return keyset(_named(asked), _rows.c.id, before=before, after=after, limit=limit)


def every(asked: NoticeFilter) -> Listing:
    """All of them, for an export."""
    return whole(_named(asked), _rows.c.id)


def _named(asked: NoticeFilter) -> sa.Select:
    query = select(asked).add_columns(_families.c.name.label("family_name"))
    return query.outerjoin(_families, _families.c.id == _rows.c.family_id)


def family_messages(family_id: int, *, before: int | None = None, after: int | None = None, limit: int = 20) -> Page:
    """What one family was told."""
    return page(NoticeFilter(family_id=family_id), before=before, after=after, limit=limit)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One message with its words, what came before it and what took over from it."""

    row: sa.Row
    title: str
    text: str
    #: whether these words were sent, or are what would be sent now
    as_sent: bool
    follows: sa.Row | None
    followers: list[sa.Row]


def sheet(notification_id: int) -> Sheet | None:
    """One message, or None."""
    row = db.session.execute(sa.select(_rows).where(_rows.c.id == notification_id)).first()
    if row is None:
        return None
    title, text, as_sent = row.title, row.text, row.text is not None
    if not as_sent and row.type in KINDS:
        words = wording.compose(KINDS[row.type], row.payload, wordings.of(row.type))
        title, text = words.title, words.text
    related = db.session.execute(
        sa.select(_rows).where(sa.or_(_rows.c.id == row.follows_id, _rows.c.follows_id == row.id)).order_by(_rows.c.id)
    ).all()
    return Sheet(
        row,
        title or row.type,
        text or "",
        as_sent,
        next((r for r in related if r.id == row.follows_id), None),
        [r for r in related if r.id != row.follows_id],
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """Messages of one day or type by how they ended. What a parent turned off or cooldown held back counts nowhere."""

    key: str
    sent: int = 0
    in_app: int = 0
    failed: int = 0
    waiting: int = 0

    @property
    def tried(self) -> int:
        return self.sent + self.failed

    @property
    def rate(self) -> Decimal | None:
        """Delivered ÷ what could be: over WeChat and Feishu, among those that ended (N11). None if there were none."""
        return Decimal(self.sent) / self.tried if self.tried else None


def delivery_by_day(asked: NoticeFilter) -> list[Delivery]:
    """One line per studio day from `date_from` to `date_to`, empty days too."""
    first, last = asked.date_from, asked.date_to
    if first is None or last is None:
        raise ValueError("a report has a first and a last day")
    found: dict[str, dict[str, int]] = {}
    for row in _grouped(asked, studio_day(_rows.c.created_at)):
        _count(found.setdefault(str(row.key), {}), row)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [Delivery(day.isoformat(), **found.get(day.isoformat(), {})) for day in days]


def delivery_by_type(asked: NoticeFilter) -> list[Delivery]:
    """One line per type, most messages first; cards for staff by the first word of theirs."""
    found: dict[str, dict[str, int]] = {}
    for row in _grouped(asked, _rows.c.type):
        key = row.key if row.key in KINDS else row.key.partition(".")[0]
        _count(found.setdefault(key, {}), row)
    lines = [Delivery(key, **counts) for key, counts in found.items()]
    return sorted(lines, key=lambda line: (-(line.tried + line.in_app + line.waiting), line.key))


def total(lines: list[Delivery]) -> Delivery:
    """All lines of a report as one."""
    return Delivery(
        "total",
        sent=sum(line.sent for line in lines),
        in_app=sum(line.in_app for line in lines),
        failed=sum(line.failed for line in lines),
        waiting=sum(line.waiting for line in lines),
    )


def _grouped(asked: NoticeFilter, key) -> list:
    query = (
        select(asked)
        .with_only_columns(key.label("key"), _rows.c.channel, _rows.c.status, sa.func.count().label("number"))
        .where(_rows.c.status != Status.SUPPRESSED)
        .group_by(key, _rows.c.channel, _rows.c.status)
    )
    return list(db.session.execute(query))


def _count(counts: dict[str, int], row) -> None:
    if row.channel == Channel.IN_APP:
        name = "in_app"
    else:
        name = {Status.SENT: "sent", Status.FAILED: "failed"}.get(row.status, "waiting")
    counts[name] = counts.get(name, 0) + row.number


# ── the state of the system ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. `age` in seconds is how long the oldest due message has been due; 0 when none is."""

    pending: int
    due: int
    sending: int
    failed: int
    oldest_at: datetime | None
    age: float


def backlog() -> Backlog:
    """Messages that wait, are being sent, and failed within 24 hours."""
    now = db_now()
    waits = _rows.c.status == Status.PENDING
    is_due = sa.and_(waits, _rows.c.next_attempt_at <= now)
    pending, due, oldest = db.session.execute(
        sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(sa.case((is_due, 1), else_=0)), 0),
            sa.func.min(sa.case((is_due, _rows.c.next_attempt_at), else_=None)),
        ).where(waits)
    ).one()
    sending = db.session.scalar(sa.select(sa.func.count()).where(_rows.c.status == Status.SENDING))
    since = now - timedelta(hours=24)
    failed = db.session.scalar(
        sa.select(sa.func.count()).where(_rows.c.status == Status.FAILED, _rows.c.created_at > since)
    )
    age = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    return Backlog(pending, int(due), sending or 0, failed or 0, oldest, age)


@dataclass(frozen=True, slots=True)
class JobState:
    """A periodic job with when it ran."""

    name: str
    description: str
    schedule: str
    last_started_at: datetime | None
    last_success_at: datetime | None
    last_result: str | None
    last_error: str | None
    running: bool


def job_runs() -> list[JobState]:
    """Every periodic job, in the order of the list."""
    known = jobs.runs()
    states = []
    for job in JOBS:
        run = known.get(job.name) or jobs.Run(job.name)
        states.append(
            JobState(
                job.name, job.description, job.schedule, run.last_started_at, run.last_success_at,
                run.last_result, run.last_error, run.running,
            )
        )  # fmt: skip
    return states
