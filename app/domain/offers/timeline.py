"""What became of a freed seat (Q19): why it came free, every step with its time, how it ended; and for each who waited
then, what a parent who asks 「为什么不是我」 may be told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.bookings.models import Booking
from app.domain.catalog import queries as catalog
from app.domain.catalog.queries import SessionCard
from app.domain.people.models import Family, Profile, Staff
from app.domain.waitlist.models import (
    OfferStatus,
    ReleaseStatus,
    SeatRelease,
    WaitlistEntry,
    WaitlistFlow,
    WaitlistOffer,
)
from app.domain.waitlist.rules import CAUSE_TEXTS, END_TEXTS, SKIP_TEXTS, STEP_TEXTS, Step
from app.paging import Listing, Page, keyset, whole

_r, _e, _o, _f = SeatRelease.__table__, WaitlistEntry.__table__, WaitlistOffer.__table__, WaitlistFlow.__table__
_p, _b, _staff = Profile.__table__, Booking.__table__, Staff.__table__
_freer, _filler = sa.orm.aliased(Profile), sa.orm.aliased(Profile)


@dataclass(frozen=True, slots=True)
class Release:
    """One freed seat. `freed_by` is the student whose seat it was, `filled_by` who has it now."""

    id: int
    schedule_id: int
    status: str
    cause: str
    freed_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    booking_id: int | None
    freed_by: str | None
    entry_id: int | None
    filled_by: str | None
    session: SessionCard

    @property
    def end_text(self) -> str | None:
        return END_TEXTS.get(self.end_reason, self.end_reason) if self.end_reason else None

    @property
    def seconds(self) -> int:
        """How long it was kept, until now where it still is."""
        return int(((self.ended_at or clock.now()) - self.freed_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Event:
    """One step in words. `who` is the person or the system that took it, `about` the student whom it concerns."""

    at: datetime
    text: str
    who: str
    about: str | None
    note: str | None
    tone: str


@dataclass(frozen=True, slots=True)
class Fate:
    """One who waited while this seat was free: their place then, and why it is theirs or not."""

    entry_id: int
    position: int
    profile_id: int
    student: str
    family_id: int
    family: str
    joined_at: datetime
    got_it: bool
    why: list[str]


@dataclass(frozen=True, slots=True)
class Timeline:
    release: Release
    events: list[Event]
    fates: list[Fate]


def recent(*, before: int | None = None, after: int | None = None, status: str | None = None) -> Page:
    """Freed seats, the newest first."""
    page = keyset(_ended(status), _r.c.id, before=before, after=after)
    return Page(_dressed(page.items), page.newer, page.older)


def every(status: str | None) -> Listing:
    """All of them, for an export."""
    return whole(_ended(status), _r.c.id, dress=_dressed)


def _ended(status: str | None) -> sa.Select:
    return _releases() if status is None else _releases().where(_r.c.status == status)


def _dressed(rows: Sequence[sa.Row]) -> list[Release]:
    cards = catalog.session_cards([row.course_schedule_id for row in rows])
    return [_release(row, cards[row.course_schedule_id]) for row in rows]


def of_session(schedule_id: int, *, limit: int = 20) -> list[Release]:
    """The seats that came free in one session, the newest first."""
    card = catalog.session_card(schedule_id)
    if card is None:
        return []
    query = _releases().where(_r.c.course_schedule_id == schedule_id).order_by(_r.c.id.desc()).limit(limit)
    return [_release(row, card) for row in db.session.execute(query)]


def of_entry(entry_id: int) -> list[Event]:
    """Every step of one wait, in order."""
    return _events(list(db.session.execute(_steps().where(_f.c.entry_id == entry_id))))


def timeline(release_id: int) -> Timeline | None:
    """Everything about one seat, or None."""
    row = db.session.execute(_releases().where(_r.c.id == release_id)).first()
    if row is None:
        return None
    release = _release(row, catalog.session_card(row.course_schedule_id))
    rounds = _rounds(release_id)
    flows = _flows(release, rounds)
    return Timeline(release, _events(flows), _fates(release, rounds, flows))


def _releases() -> sa.Select:
    return sa.select(_r, _freer.name.label("freed_by"), _filler.name.label("filled_by")).select_from(
        _r.outerjoin(_b, _b.c.id == _r.c.booking_id)
        .outerjoin(_freer, _freer.id == _b.c.profile_id)
        .outerjoin(_e, _e.c.id == _r.c.entry_id)
        .outerjoin(_filler, _filler.id == _e.c.profile_id)
    )


def _release(row: sa.Row, session: SessionCard) -> Release:
    return Release(
        row.id, row.course_schedule_id, row.status, row.cause, row.freed_at, row.ended_at, row.end_reason,
        row.booking_id, row.freed_by, row.entry_id, row.filled_by, session,
    )  # fmt: skip


# ── the steps ───────────────────────────────────────────────────────────────────────────────────────

_TONES = {
    Step.FREED: "active", Step.ROUND: "active", Step.OFFERED: "waiting", Step.CONFIRMED: "good", Step.FILLED: "good",
    Step.UNREACHED: "danger", Step.LAPSED: "danger", Step.EXPIRED: "danger", Step.BEGAN: "active",
}  # fmt: skip


def _rounds(release_id: int) -> list[int]:
    """The rounds in which this seat was offered."""
    query = sa.select(_f.c.round_id).where(_f.c.release_id == release_id, _f.c.step == Step.ROUND_JOINED)
    return list(db.session.scalars(query))


def _flows(release: Release, rounds: list[int]) -> list[sa.Row]:
    """The steps of this seat and of the rounds that it was offered in, and what else happened to the queue until it
    was taken: who joined, moved or left. Steps of other seats are left out."""
    asked_in = sa.func.coalesce(_f.c.round_id, _o.c.round_id)
    during = _f.c.at >= release.freed_at
    if release.ended_at is not None:
        during = sa.and_(during, _f.c.at <= release.ended_at)
    query = _steps().where(
        _f.c.course_schedule_id == release.schedule_id,
        sa.or_(
            _f.c.release_id == release.id,
            sa.and_(_f.c.release_id.is_(None), sa.or_(asked_in.in_(rounds), sa.and_(asked_in.is_(None), during))),
        ),
    )
    return list(db.session.execute(query))


def _steps() -> sa.Select:
    return (
        sa.select(_f, _p.c.name.label("student"), _staff.c.display_name.label("staff"))
        .select_from(
            _f.outerjoin(_o, _o.c.id == _f.c.offer_id)
            .outerjoin(_e, _e.c.id == _f.c.entry_id)
            .outerjoin(_p, _p.c.id == _e.c.profile_id)
            .outerjoin(_staff, sa.and_(_f.c.actor_type == "staff", _staff.c.id == _f.c.actor_id))
        )
        .order_by(_f.c.id)
    )


def _events(flows: list[sa.Row]) -> list[Event]:
    """Steps in words; the same step of many at one moment (a round tells everybody) is one line."""
    events: list[Event] = []
    begun = {(row.round_id, row.at) for row in flows if row.step == Step.ROUND}
    for row in flows:
        if row.step == Step.ROUND_JOINED and (row.round_id, row.at) in begun:
            continue  # the round began with this seat
        event = Event(row.at, STEP_TEXTS.get(row.step, row.step), _who(row), row.student, _note(row),
                      _TONES.get(row.step, "plain"))  # fmt: skip
        last = events[-1] if events else None
        if last is not None and event.about and (last.at, last.text, last.who, last.note) == (
            event.at, event.text, event.who, event.note
        ):  # fmt: skip
            event = Event(last.at, last.text, last.who, f"{last.about}、{event.about}", last.note, last.tone)
            events.pop()
        events.append(event)
    return events


def _who(row: sa.Row) -> str:
    return {"staff": row.staff or "员工", "parent": "家长"}.get(row.actor_type, "系统")


def _note(row: sa.Row) -> str | None:
    """The reason in words: a code of ours, or what a person wrote."""
    if row.reason is None:
        return None
    if row.step == Step.FREED:
        return CAUSE_TEXTS.get(row.reason, row.reason)
    return SKIP_TEXTS.get(row.reason) or END_TEXTS.get(row.reason) or row.reason


# ── 为什么不是我 ────────────────────────────────────────────────────────────────────────────────────


def _fates(release: Release, rounds: list[int], flows: list[sa.Row]) -> list[Fate]:
    until = release.ended_at or clock.now()
    query = (
        sa.select(_e, _p.c.name.label("student"), Family.name.label("family"))
        .join(_p, _p.c.id == _e.c.profile_id)
        .join(Family.__table__, Family.id == _e.c.family_id)
        .where(_e.c.course_schedule_id == release.schedule_id, _e.c.joined_at <= until)
        .order_by(_e.c.joined_at, _e.c.id)
    )
    entries = list(db.session.execute(query))
    places = {entry_id: place for place, entry_id in enumerate(_order_at(release, entries))}
    there = [row for row in entries if row.id in places or row.joined_at > release.freed_at]
    rows = sorted(there, key=lambda row: places.get(row.id, len(places)))
    offers = _offers([row.id for row in rows], rounds)
    steps: dict[int, list[sa.Row]] = defaultdict(list)
    for flow in flows:
        if flow.entry_id is not None:
            steps[flow.entry_id].append(flow)
    return [
        Fate(row.id, place, row.profile_id, row.student, row.family_id, row.family, row.joined_at,
             row.id == release.entry_id, _why(row, release, offers[row.id], steps[row.id]))
        for place, row in enumerate(rows, 1)
    ]  # fmt: skip


def _order_at(release: Release, entries: list[sa.Row]) -> list[int]:
    """The queue as it stood when the seat came free: everybody in the order of joining, without those who had ended,
    and each move of staff until then made once more."""
    moves = sa.select(_f.c.at, _f.c.entry_id, _f.c.facts).where(
        _f.c.course_schedule_id == release.schedule_id, _f.c.step == Step.MOVED, _f.c.at <= release.freed_at
    )
    happened = [(row.at, 2, row.entry_id, row.facts["to"]) for row in db.session.execute(moves.order_by(_f.c.id))]
    for row in entries:
        if row.joined_at <= release.freed_at:
            happened.append((row.joined_at, 1, row.id, 0))
        if row.ended_at is not None and row.ended_at < release.freed_at:
            happened.append((row.ended_at, 3, row.id, 0))
    order: list[int] = []
    for _, kind, entry_id, to in sorted(happened, key=lambda one: one[:2]):
        if kind != 1 and entry_id in order:
            order.remove(entry_id)
        if kind == 1:
            order.append(entry_id)
        elif kind == 2:
            order.insert(to - 1, entry_id)
    return order


def _offers(entry_ids: list[int], rounds: list[int]) -> dict[int, list[sa.Row]]:
    """What each was offered in these rounds."""
    found: dict[int, list[sa.Row]] = defaultdict(list)
    query = sa.select(_o).where(_o.c.entry_id.in_(entry_ids), _o.c.round_id.in_(rounds))
    for row in db.session.execute(query.order_by(_o.c.id)):
        found[row.entry_id].append(row)
    return found


def _why(entry: Any, release: Release, offers: list[sa.Row], steps: list[sa.Row]) -> list[str]:
    """Plain sentences with times, in the order in which it happened."""
    said = []
    if entry.joined_at > release.freed_at:
        said.append((entry.joined_at, f"{_at(entry.joined_at)} 才加入候补，名额在 {_at(release.freed_at)} 已空出"))
    for step in steps:
        if step.step == Step.SKIPPED:
            said.append((step.at, f"{_at(step.at)} 跳过：{_note(step) or '当时不能预约'}"))
        elif step.step in (Step.LEFT, Step.REMOVED):
            said.append((step.at, f"{_at(step.at)} {STEP_TEXTS[step.step]}"))
        elif step.step == Step.MOVED:
            said.append((step.at, f"{_at(step.at)} 由 {_who(step)} 调整了顺位"))
    said += [(offer.offered_at, _offered(offer, release)) for offer in offers]
    if not offers and not said:
        ended = "名额已有人确认，没有轮到" if release.status == ReleaseStatus.FILLED else "没有轮到"
        said.append((release.freed_at, ended if release.status != ReleaseStatus.KEPT else "还没有轮到"))
    return [sentence for _, sentence in sorted(said, key=lambda pair: pair[0])]


def _offered(offer: sa.Row, release: Release) -> str:
    kind = "单独" if offer.kind == "exclusive" else "与大家同时"
    said = f"{_at(offer.offered_at)} {kind}收到名额，截止 {_at(offer.deadline)}"
    if offer.begun_at is not None:
        said += f"，{_at(offer.begun_at)} 开始办理"
    ended = _at(offer.ended_at) if offer.ended_at is not None else ""
    return said + {
        OfferStatus.LIVE: "，等待答复", OfferStatus.CONFIRMED: f"，{ended} 确认",
        OfferStatus.DECLINED: f"，{ended} 放弃", OfferStatus.LAPSED: "，到时没有答复",
        OfferStatus.TAKEN: f"，{ended} 被别人先确认", OfferStatus.WITHDRAWN: f"，{ended} 收回",
    }[OfferStatus(offer.status)]  # fmt: skip


def _at(moment: datetime) -> str:
    local = clock.local(moment)
    return f"{local:%H:%M:%S}" if local.date() == clock.today() else f"{local.month}月{local.day}日 {local:%H:%M:%S}"
