"""History once more under other rules: the live engine's own decisions on a virtual clock, pure (Q20).

What came from outside stays as it was: who joined, left, consented, which seats came free and when, who could not have
taken one. What followed from the rules is made anew: rounds, offers, deadlines, who has the seat. How a parent answers
is taken from how they answered: their n-th offer as their n-th in history, after the same time; an offer that history
cut short, and any beyond the last, as one that they did answer, else with silence. Messages arrive at once, save those
of rounds that history knows.

Under the rules of then, with `as_it_was`, the engine is asked at the moments at which it acted, and what comes out is
history itself. Under others it is asked whenever something happens or a time runs out, as the job does.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.waitlist import engine, rules
from app.domain.waitlist.models import OfferKind, ReleaseStatus
from app.domain.waitlist.replay_facts import History, Outcome, Said


def as_it_was(history: History) -> list[Outcome]:
    """The seats' ends under the rules of then."""
    return _Run(history, history.terms, history.acted).run()


def under(history: History, *, policy: str | None = None, window: timedelta | None = None) -> list[Outcome]:
    """The seats' ends under another policy, another window, or both; None leaves it as it was."""
    changed = {name: value for name, value in (("policy", policy), ("window", window)) if value is not None}
    terms = tuple((since, replace(one, **changed)) for since, one in history.terms)
    return _Run(history, terms, None).run()


# ── the run ─────────────────────────────────────────────────────────────────────────────────────────

#: decisions at one moment; far more than a queue of 99 can need
_STEPS = 2000


class _Run:
    """A queue in memory, and what is still to come, by time. At one moment what came from outside goes first."""

    def __init__(
        self,
        history: History,
        terms: tuple[tuple[datetime, engine.Terms], ...],
        acted: frozenset[datetime] | None,
    ):
        self.history, self.terms, self.acted = history, terms, acted
        self.people = {one.id: one for one in history.people}
        self.freed = {one.release_id: one.freed_at for one in history.outcomes}
        self.queue = engine.Queue(terms[0][1])
        self.ended: dict[int, Outcome] = {}
        self.offered: dict[int, int] = {}
        self.begun: set[int] = set()
        self.ids, self.order = itertools.count(1), itertools.count()
        self.coming: list[tuple] = []
        self.awake: set[datetime] = set()
        self._load()

    def run(self) -> list[Outcome]:
        while self.coming:
            now = self.coming[0][0]
            while self.coming and self.coming[0][0] == now:
                _, _, _, do, *args = heapq.heappop(self.coming)
                do(now, *args)
            self._settle(now)
        return [self.ended.get(one.release_id) or _unended(one) for one in self.history.outcomes]

    def _load(self) -> None:
        """All that came from outside; the order of things of one moment is that of the live transactions."""
        past = self.history
        for person in past.people:
            self._at(person.joined_at, 0, self._join, person.id)
            if person.left_at is not None:
                self._at(person.left_at, 1, self._leave, person.id)
            for moment, _consents in person.consents:
                self._at(moment, 1, self._wake)
        for moment, entry_id, place in past.moves:
            self._at(moment, 1, self._move, entry_id, place)
        for one in past.outcomes:
            self._at(one.freed_at, 2, self._free, one.release_id)
        if past.cancelled_at is not None:
            self._at(past.cancelled_at, 3, self._cancel)
        for moment in past.acted if self.acted is not None else ():
            self._at(moment, 5, self._wake)
        for since, one in self.terms:
            self._at(since, 1, self._wake)
            self._at(one.cutoff, 5, self._wake)

    def _at(self, moment: datetime, rank: int, do, *args) -> None:
        heapq.heappush(self.coming, (moment, rank, next(self.order), do, *args))

    def _wake(self, now: datetime) -> None:
        """Nothing of itself: the engine is asked at this moment."""

    # from outside

    def _join(self, now: datetime, entry_id: int) -> None:
        self.queue.waiters.append(engine.Waiter(entry_id))

    def _leave(self, now: datetime, entry_id: int) -> None:
        self._drop(entry_id)

    def _move(self, now: datetime, entry_id: int, place: int) -> None:
        """What was due is done before staff move anybody."""
        self._settle(now)
        one = next((waiter for waiter in self.queue.waiters if waiter.id == entry_id), None)
        if one is not None:
            self.queue.waiters.remove(one)
            self.queue.waiters.insert(place - 1, one)

    def _free(self, now: datetime, release_id: int) -> None:
        """A seat is kept for the queue only if there is somebody for it (Q5)."""
        if now >= self._terms(now).cutoff:
            self._end(release_id, now, "cutoff")
        elif len(self.queue.waiters) <= len(self.queue.seats):
            self._end(release_id, now, "no_waiters")
        else:
            self.queue.seats.append(engine.Seat(release_id))

    def _cancel(self, now: datetime) -> None:
        for seat in list(self.queue.seats):
            self._end(seat.id, now, "session_cancelled")
        self.queue.waiters, self.queue.offers, self.queue.rounds = [], [], []

    # parents

    def _begin(self, now: datetime, offer: engine.Offer) -> None:
        if offer in self.queue.offers and now < offer.ends_at and offer.id not in self.begun:
            self.begun.add(offer.id)
            offer.ends_at = rules.grace_end(self._round(offer.round_id).deadline, now, self.history.grace)
            self._watch(offer.ends_at)

    def _confirm(self, now: datetime, offer: engine.Offer) -> None:
        seats = self.queue.seats_of(offer.round_id)
        if offer in self.queue.offers and now < offer.ends_at and seats:
            self._fill(now, seats[0], offer.waiter_id, "confirmed")

    def _decline(self, now: datetime, offer: engine.Offer) -> None:
        if offer in self.queue.offers and now < offer.ends_at:
            self._drop(offer.waiter_id)

    def _expect_answer(self, offer: engine.Offer, now: datetime) -> None:
        number = self.offered.get(offer.waiter_id, 0)
        self.offered[offer.waiter_id] = number + 1
        said = _saying(self.people[offer.waiter_id].said, number)
        if said.begun_after is not None:
            self._at(now + said.begun_after, 4, self._begin, offer)
        if said.answer is not None:
            self._at(now + said.after, 4, self._confirm if said.answer == "confirm" else self._decline, offer)

    # the engine's decisions, made so

    def _settle(self, now: datetime) -> None:
        if self.acted is not None and now not in self.acted:
            return
        queue = self.queue
        queue.terms = self._terms(now)
        for one in queue.rounds:
            moment = self.history.taken.get(one.started_at)
            one.first_taken_at = moment if moment is not None and moment <= now else one.first_taken_at
        for waiter in queue.waiters:
            person = self.people[waiter.id]
            waiter.auto = _last(person.consents, now, False)
            waiter.refusal = _last(person.refusals, now, None)
        for _ in range(_STEPS):
            actions = engine.decide(queue, now)
            if not actions:
                return self._watch_all(now)
            for action in actions:
                _DO[type(action)](self, action, now)
        raise RuntimeError(f"the replay of session {self.history.schedule_id} does not come to rest")

    def _extend(self, action: engine.Extend, now: datetime) -> None:
        one = self._round(action.round_id)
        one.deadline, one.extended = action.deadline, True
        for offer in self.queue.offers_of(one.id):
            offer.ends_at = max(offer.ends_at, action.deadline)

    def _lapse(self, action: engine.Lapse, now: datetime) -> None:
        offer = next(one for one in self.queue.offers if one.id == action.offer_id)
        self.queue.offers.remove(offer)
        if offer.kind == OfferKind.EXCLUSIVE:
            self._drop(offer.waiter_id)

    def _expire(self, action: engine.Expire, now: datetime) -> None:
        self._drop(action.waiter_id)

    def _end_round(self, action: engine.EndRound, now: datetime) -> None:
        for seat in self.queue.seats_of(action.round_id):
            seat.round_id = None
        self.queue.rounds.remove(self._round(action.round_id))

    def _detach(self, action: engine.Detach, now: datetime) -> None:
        self._seat(action.seat_id).round_id = None

    def _return(self, action: engine.Return, now: datetime) -> None:
        self._end(action.seat_id, now, action.reason)

    def _join_round(self, action: engine.Join, now: datetime) -> None:
        seat = self._seat(action.seat_id)
        seat.round_id = action.round_id
        seat.opened = seat.opened or self._round(action.round_id).kind == OfferKind.OPEN

    def _skip(self, action: engine.Skip, now: datetime) -> None:
        """They keep their place; nothing changes."""

    def _promote(self, action: engine.Promote, now: datetime) -> None:
        self._fill(now, self._seat(action.seat_id), action.waiter_id, "promoted")

    def _open(self, action: engine.Open, now: datetime) -> None:
        self._ask(OfferKind.OPEN, action.seat_ids, action.waiter_ids, action.deadline, now)

    def _exclusive(self, action: engine.Exclusive, now: datetime) -> None:
        self._ask(OfferKind.EXCLUSIVE, (action.seat_id,), (action.waiter_id,), action.deadline, now)

    def _ask(
        self, kind: str, seats: Iterable[int], waiters: Iterable[int], deadline: datetime, now: datetime
    ) -> None:  # fmt: skip
        one = engine.Round(next(self.ids), kind, now, deadline)
        self.queue.rounds.append(one)
        for seat_id in seats:
            seat = self._seat(seat_id)
            seat.round_id, seat.opened = one.id, seat.opened or kind == OfferKind.OPEN
        for waiter_id in waiters:
            offer = engine.Offer(next(self.ids), waiter_id, one.id, kind, deadline)
            self.queue.offers.append(offer)
            self._expect_answer(offer, now)
        taken = self.history.taken.get(now)
        if taken is not None:
            self._watch(taken)

    # state

    def _fill(self, now: datetime, seat: engine.Seat, waiter_id: int, reason: str) -> None:
        """As offers/taking.py: a round whose last seat is gone ends, and the others wait on."""
        round_id = seat.round_id
        self._drop(waiter_id)
        self._end(seat.id, now, reason, waiter_id)
        if round_id is not None and not self.queue.seats_of(round_id):
            self.queue.offers = [one for one in self.queue.offers if one.round_id != round_id]
            self.queue.rounds.remove(self._round(round_id))

    def _drop(self, waiter_id: int) -> None:
        self.queue.waiters = [one for one in self.queue.waiters if one.id != waiter_id]
        self.queue.offers = [one for one in self.queue.offers if one.waiter_id != waiter_id]

    def _end(self, release_id: int, now: datetime, reason: str, entry_id: int | None = None) -> None:
        self.queue.seats = [one for one in self.queue.seats if one.id != release_id]
        status = ReleaseStatus.RETURNED if entry_id is None else ReleaseStatus.FILLED
        self.ended[release_id] = Outcome(release_id, self.freed[release_id], status, reason, now, entry_id)

    def _seat(self, seat_id: int) -> engine.Seat:
        return next(one for one in self.queue.seats if one.id == seat_id)

    def _round(self, round_id: int) -> engine.Round:
        return next(one for one in self.queue.rounds if one.id == round_id)

    def _terms(self, now: datetime) -> engine.Terms:
        return _last(self.terms, now, self.terms[0][1])

    # time

    def _watch_all(self, now: datetime) -> None:
        """Be asked again when a time runs out."""
        for offer in self.queue.offers:
            self._watch(offer.ends_at)
        asleep = rules.quiet_now(now, self.queue.terms.quiet) if self.queue.seats else None
        if asleep is not None:
            self._watch(asleep[1])

    def _watch(self, moment: datetime) -> None:
        if moment not in self.awake:
            self.awake.add(moment)
            self._at(moment, 5, self._wake)


_DO = {
    engine.Extend: _Run._extend,
    engine.Lapse: _Run._lapse,
    engine.Expire: _Run._expire,
    engine.EndRound: _Run._end_round,
    engine.Detach: _Run._detach,
    engine.Return: _Run._return,
    engine.Join: _Run._join_round,
    engine.Skip: _Run._skip,
    engine.Promote: _Run._promote,
    engine.Open: _Run._open,
    engine.Exclusive: _Run._exclusive,
}


def _unended(one: Outcome) -> Outcome:
    """Rows whose steps are missing, so that no moment of the engine's ended the seat: it agrees with nothing."""
    return Outcome(one.release_id, one.freed_at, ReleaseStatus.KEPT, "", one.freed_at)


def _last(steps: tuple[tuple[datetime, object], ...], now: datetime, before):
    """The value in force: that of the last step that is not in the future."""
    found = before
    for moment, value in steps:
        if moment > now:
            break
        found = value
    return found


def _saying(said: tuple[Said, ...], number: int) -> Said:
    """How this parent meets their offer of this number, counted from 0."""
    own = said[number] if number < len(said) else None
    if own is not None and not own.cut_short:
        return own
    usual = next((one for one in said if one.answer is not None), None)
    if usual is None or (own is not None and usual.after <= own.lasted):
        return own or Said()
    return usual
