"""What happened in the queues of the last days, read for the replay (Q20)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.catalog.models import Course, CourseSchedule, CourseType, ScheduleStatus
from app.domain.policy.past import Past
from app.domain.waitlist import engine, rules
from app.domain.waitlist.models import (
    OfferKind,
    OfferStatus,
    ReleaseStatus,
    SeatRelease,
    WaitlistEntry,
    WaitlistFlow,
    WaitlistOffer,
    WaitlistPolicy,
    WaitlistRound,
)
from app.domain.waitlist.replay_facts import History, Outcome, Person, Said
from app.domain.waitlist.rules import Step

BACK = timedelta(days=60)
#: how an entry ends by the rules of the queue; every other end came from outside
_BY_RULE = frozenset({"confirmed", "promoted", "declined", "lapsed", "cutoff"})
#: steps that only the engine makes, alone or following an answer
_ACTED = frozenset(
    {Step.ROUND, Step.ROUND_JOINED, Step.EXTENDED, Step.OFFERED, Step.SKIPPED, Step.CONFIRMED, Step.DECLINED,
     Step.LAPSED, Step.TAKEN, Step.EXPIRED, Step.FILLED, Step.RETURNED}
)  # fmt: skip
_READ = _ACTED | {Step.JOINED, Step.CONSENT, Step.MOVED, Step.FREED}
#: what staff decided against the rules is no history of the rules
_BY_HAND = ("waitlist.offered", "waitlist.skipped")

_e, _o, _w = WaitlistEntry.__table__, WaitlistOffer.__table__, WaitlistRound.__table__
_r, _f = SeatRelease.__table__, WaitlistFlow.__table__
_s, _c, _t, _log = CourseSchedule.__table__, Course.__table__, CourseType.__table__, AuditEntry.__table__


@dataclass(frozen=True, slots=True)
class Read:
    """`by_hand`: queues left out, since staff offered or skipped in them, or the class was moved. `open`: queues that
    are not over yet."""

    histories: list[History]
    by_hand: int
    open: int


def read(now: datetime, type_id: int | None = None) -> Read:
    """The queues in which a seat came free in the last 60 days, of one course type or of every."""
    sessions = _sessions(now - BACK, type_id)
    ids = [row.id for row in sessions]
    entries, releases, flows, offers, rounds = (
        _grouped(ids, _e.c.course_schedule_id, sa.select(_e).order_by(_e.c.rank, _e.c.joined_at, _e.c.id)),
        _grouped(ids, _r.c.course_schedule_id, sa.select(_r).order_by(_r.c.id)),
        _grouped(ids, _f.c.course_schedule_id, sa.select(_f).where(_f.c.step.in_(_READ)).order_by(_f.c.id)),
        _grouped(ids, _w.c.course_schedule_id,
                 sa.select(_o, _w.c.course_schedule_id).join_from(_o, _w, _w.c.id == _o.c.round_id).order_by(_o.c.id)),
        _grouped(ids, _w.c.course_schedule_id, sa.select(_w).order_by(_w.c.id)),
    )  # fmt: skip
    touched = _touched(sessions, entries)
    past, policies = Past(*_POLICIES), _type_policies()
    histories, by_hand, still_open = [], 0, 0
    for session in sessions:
        queue, freed = entries[session.id], releases[session.id]
        if any(one.status == ReleaseStatus.KEPT for one in freed) or any(one.ended_at is None for one in queue):
            still_open += 1
        elif session.id in touched:
            by_hand += 1
        elif queue:
            terms = _terms(session, min(one.joined_at for one in queue), past, policies)
            histories.append(_history(session, terms, past, queue, freed, flows[session.id], offers[session.id],
                                      rounds[session.id]))  # fmt: skip
    return Read(histories, by_hand, still_open)


def _sessions(since: datetime, type_id: int | None) -> list[sa.Row]:
    query = (
        sa.select(_s.c.id, _s.c.starts_at, _s.c.status, _s.c.cancelled_at, _t.c.id.label("type_id"),
                  _t.c.waitlist_policy, _t.c.is_trial)
        .select_from(_s.join(_c, _c.c.id == _s.c.course_id).join(_t, _t.c.id == _c.c.course_type_id))
        .where(_s.c.id.in_(sa.select(_r.c.course_schedule_id).where(_r.c.freed_at >= since)))
        .order_by(_s.c.id)
    )  # fmt: skip
    return list(db.session.execute(query if type_id is None else query.where(_t.c.id == type_id)))


def _grouped(ids: list[int], column: sa.Column, query: sa.Select) -> dict[int, list[sa.Row]]:
    """Session → its rows, in the order of the query."""
    found: dict[int, list[sa.Row]] = defaultdict(list)
    for row in db.session.execute(query.where(column.in_(ids))) if ids else ():
        found[row.course_schedule_id].append(row)
    return found


def _touched(sessions: list[sa.Row], entries: dict[int, list[sa.Row]]) -> set[int]:
    """Sessions in which staff offered or skipped by hand, or that were moved while somebody waited."""
    session_of = {one.id: one.course_schedule_id for queue in entries.values() for one in queue}
    by_hand = sa.select(_log.c.target_id).where(_log.c.action.in_(_BY_HAND), _log.c.target_type == "waitlist_entry")
    found = {session_of.get(int(target)) for target in db.session.scalars(by_hand)}
    moved = sa.select(_log.c.target_id, _log.c.created_at, _log.c.before, _log.c.after).where(
        _log.c.target_type == "course_schedule",
        _log.c.action == "schedule.updated",
        _log.c.target_id.in_([str(row.id) for row in sessions]),
    )
    for row in db.session.execute(moved) if sessions else ():
        queue = entries[int(row.target_id)]
        again = (row.before or {}).get("starts_at") != (row.after or {}).get("starts_at")
        if again and any(one.joined_at <= row.created_at for one in queue):
            found.add(int(row.target_id))
    return found - {None}


# ── the rules of then ───────────────────────────────────────────────────────────────────────────────

_POLICIES = ("waitlist_window", "waitlist_cutoff", "waitlist_quiet_hours", "waitlist_begin_grace")


def _type_policies() -> dict[int, list[tuple[datetime, str]]]:
    """Course type → (when its policy was changed, what it was before), ascending."""
    query = (
        sa.select(_log.c.target_id, _log.c.created_at, _log.c.before)
        .where(_log.c.action == "course_type.updated", _log.c.target_type == "course_type")
        .order_by(_log.c.id)
    )
    found: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    for row in db.session.execute(query):
        if "waitlist_policy" in (row.before or {}):
            found[int(row.target_id)].append((row.created_at, row.before["waitlist_policy"]))
    return found


def _terms(
    session: sa.Row, since: datetime, past: Past, policies: dict[int, list[tuple[datetime, str]]]
) -> tuple[tuple[datetime, engine.Terms], ...]:
    changes = policies.get(session.type_id, [])
    moments = [since, *(one for one in past.moments() if one > since), *(at for at, _ in changes if at > since)]
    return tuple(
        (at, _terms_at(session, at, past, next((before for when, before in changes if at < when), None)))
        for at in sorted(set(moments))
        if at == since or at < session.starts_at
    )


def _terms_at(session: sa.Row, at: datetime, past: Past, policy: str | None) -> engine.Terms:
    quiet = past.get("waitlist_quiet_hours", at)
    cutoff = rules.cutoff_at(session.starts_at, past.get("waitlist_cutoff", at), quiet)
    return engine.Terms(policy or session.waitlist_policy, past.get("waitlist_window", at), cutoff, quiet)


# ── one queue ───────────────────────────────────────────────────────────────────────────────────────


def _history(
    session: sa.Row, terms: Any, past: Past, entries: list[sa.Row], releases: list[sa.Row], flows: list[sa.Row],
    offers: list[sa.Row], rounds: list[sa.Row],
) -> History:  # fmt: skip
    said: dict[int, list[Said]] = defaultdict(list)
    for offer in offers:
        said[offer.entry_id].append(_said(offer))
    consents = _consents(flows) if not session.is_trial else {}
    refusals = _refusals(terms, entries, flows, offers, rounds, consents)
    return History(
        schedule_id=session.id,
        terms=terms,
        grace=past.get("waitlist_begin_grace", terms[0][0]),
        people=tuple(
            Person(one.id, one.joined_at, None if one.end_reason in _BY_RULE else one.ended_at,
                   tuple(consents.get(one.id, ())), tuple(refusals.get(one.id, ())), tuple(said.get(one.id, ())))
            for one in sorted(entries, key=lambda entry: (entry.joined_at, entry.id))
        ),
        outcomes=tuple(
            Outcome(one.id, one.freed_at, one.status, one.end_reason or "", one.ended_at, one.entry_id)
            for one in releases
        ),
        moves=tuple((one.at, one.entry_id, one.facts["to"]) for one in flows if one.step == Step.MOVED),
        taken={one.started_at: one.first_taken_at for one in rounds if one.first_taken_at is not None},
        acted=_acted(flows),
        cancelled_at=session.cancelled_at if session.status == ScheduleStatus.CANCELLED else None,
    )  # fmt: skip


def _said(offer: sa.Row) -> Said:
    answered = offer.answer in ("confirm", "decline")
    return Said(
        answer=offer.answer if answered else None,
        after=offer.answered_at - offer.offered_at if answered else None,
        begun_after=None if offer.begun_at is None else offer.begun_at - offer.offered_at,
        cut_short=not answered and offer.status != OfferStatus.LAPSED,
        lasted=offer.ended_at - offer.offered_at,
    )


def _consents(flows: list[sa.Row]) -> dict[int, list[tuple[datetime, bool]]]:
    found: dict[int, list[tuple[datetime, bool]]] = defaultdict(list)
    for one in flows:
        if one.step in (Step.JOINED, Step.CONSENT):
            found[one.entry_id].append((one.at, bool((one.facts or {}).get("auto_accept"))))
    return found


def _refusals(
    terms: Any, entries: list[sa.Row], flows: list[sa.Row], offers: list[sa.Row], rounds: list[sa.Row],
    consents: dict[int, list[tuple[datetime, bool]]],
) -> dict[int, list[tuple[datetime, str | None]]]:  # fmt: skip
    """Entry → since when it could take no seat, or could again, as far as the engine had to look.

    Who stood before the one that got a seat, and was not skipped in so many words, could not have had it either.
    """
    found: dict[int, list[tuple[datetime, str | None]]] = defaultdict(list)
    kinds, opened = {one.id: one.kind for one in rounds}, set()
    queue = _Then(entries, offers, consents)
    for one in flows:
        kind = kinds.get(one.round_id)
        passed: list[int] = []
        if one.step == Step.SKIPPED:
            found[one.entry_id].append((one.at, one.reason))
        elif one.step in (Step.OFFERED, Step.CONFIRMED):
            found[one.entry_id].append((one.at, None))
        elif one.step == Step.FILLED and one.reason == "promoted" and kind != OfferKind.EXCLUSIVE:
            first = kind == OfferKind.OPEN or _consent_first(terms, one, opened)
            passed = queue.agreed(one.at, one.entry_id) if first else queue.idle(one.at, one.entry_id)
        elif one.step == Step.ROUND_JOINED and kind == OfferKind.EXCLUSIVE and _consent_first(terms, one, opened):
            passed = queue.agreed(one.at)
        elif one.step == Step.ROUND_JOINED and kind == OfferKind.OPEN:
            opened.add(one.release_id)
        for entry_id in passed:
            found[entry_id].append((one.at, "passed_over"))
    return found


def _consent_first(terms: Any, step: sa.Row, opened: set[int]) -> bool:
    """Whether a seat that is offered to nobody goes to consenters before anyone is asked, as in the engine."""
    policy = [one for since, one in terms if since <= step.at][-1].policy
    fresh = step.release_id not in opened
    return policy == WaitlistPolicy.AUTO_PROMOTE or (policy == WaitlistPolicy.OPEN_THEN_SEQUENTIAL and fresh)


@dataclass(frozen=True, slots=True)
class _Then:
    """Who waited at a moment; the order is that of now, which staff may have changed since."""

    entries: list[sa.Row]
    offers: list[sa.Row]
    consents: dict[int, list[tuple[datetime, bool]]]

    def _before(self, moment: datetime, entry_id: int | None) -> list[int]:
        ids = [one.id for one in self.entries]
        ahead = self.entries if entry_id is None else self.entries[: ids.index(entry_id)]
        return [one.id for one in ahead if one.joined_at <= moment < one.ended_at]

    def idle(self, moment: datetime, entry_id: int) -> list[int]:
        """Those before this entry who had no offer."""
        asked = {one.entry_id for one in self.offers if one.offered_at <= moment < one.ended_at}
        return [one for one in self._before(moment, entry_id) if one not in asked]

    def agreed(self, moment: datetime, entry_id: int | None = None) -> list[int]:
        """Those with consent, before this entry if one is named, who had no seat for themselves."""
        alone = {
            one.entry_id
            for one in self.offers
            if one.kind == OfferKind.EXCLUSIVE and one.offered_at <= moment < one.ended_at
        }
        return [
            one for one in self._before(moment, entry_id)
            if one not in alone and _agreed(self.consents.get(one, ()), moment)
        ]  # fmt: skip


def _agreed(consents: Any, moment: datetime) -> bool:
    return next((agreed for at, agreed in reversed(list(consents)) if at <= moment), False)


def _acted(flows: list[sa.Row]) -> frozenset[datetime]:
    """What was returned in the moment of being freed was no decision of the engine."""
    freed = {(one.release_id, one.at) for one in flows if one.step == Step.FREED}
    return frozenset(
        one.at
        for one in flows
        if one.step in _ACTED and not (one.step == Step.RETURNED and (one.release_id, one.at) in freed)
    )
