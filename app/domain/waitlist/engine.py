"""Who is offered a freed seat next: the whole rule, pure (Q5–Q9, Q13; 96.53–60).

`decide` looks at a queue and a moment and says what has to happen now; whoever asked makes it so and asks again, until
nothing is left. The live engine (domain/offers/advance.py) does that with rows under the session's lock; the replay
does it with what history tells, on a clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.waitlist import rules
from app.domain.waitlist.models import OfferKind, WaitlistPolicy
from app.domain.waitlist.rules import Quiet


@dataclass(frozen=True, slots=True)
class Terms:
    """The rules of one queue: its course type's policy, the policies' times, its own cutoff."""

    policy: str
    window: timedelta
    cutoff: datetime
    quiet: Quiet = None


@dataclass(slots=True)
class Waiter:
    """`auto`: consent in advance. `refusal`: why no seat can be theirs at this moment, as a code."""

    id: int
    auto: bool = False
    refusal: str | None = None


@dataclass(slots=True)
class Seat:
    """A freed seat that is kept. `round_id` is None while it is offered to nobody."""

    id: int
    round_id: int | None = None
    opened: bool = False


@dataclass(slots=True)
class Round:
    id: int
    kind: str
    started_at: datetime
    deadline: datetime
    first_taken_at: datetime | None = None
    extended: bool = False


@dataclass(slots=True)
class Offer:
    """A live offer; `ends_at` is its deadline, or the end of the grace of who began."""

    id: int
    waiter_id: int
    round_id: int
    kind: str
    ends_at: datetime


@dataclass(slots=True)
class Queue:
    """`waiters` in the queue's order, the others by age."""

    terms: Terms
    waiters: list[Waiter] = field(default_factory=list)
    seats: list[Seat] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)

    def offers_of(self, round_id: int) -> list[Offer]:
        return [offer for offer in self.offers if offer.round_id == round_id]

    def seats_of(self, round_id: int) -> list[Seat]:
        return [seat for seat in self.seats if seat.round_id == round_id]

    @property
    def idle(self) -> list[Waiter]:
        """Who has no offer."""
        asked = {offer.waiter_id for offer in self.offers}
        return [waiter for waiter in self.waiters if waiter.id not in asked]


# ── what has to happen ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Extend:
    round_id: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Lapse:
    """The offer's time is over: in an open round its parent waits on, else their wait has ended."""

    offer_id: int


@dataclass(frozen=True, slots=True)
class Expire:
    """The cutoff ends this wait."""

    waiter_id: int


@dataclass(frozen=True, slots=True)
class EndRound:
    """Nobody is asked in it any more; its seats are offered to nobody."""

    round_id: int


@dataclass(frozen=True, slots=True)
class Detach:
    """More seats than people are in an open round: this one leaves it."""

    seat_id: int


@dataclass(frozen=True, slots=True)
class Return:
    """The seat goes back to free sale."""

    seat_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Join:
    """A seat freed during an open round shares its deadline (96.53)."""

    seat_id: int
    round_id: int


@dataclass(frozen=True, slots=True)
class Skip:
    waiter_id: int
    seat_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Book at once for who has consented."""

    seat_id: int
    waiter_id: int


@dataclass(frozen=True, slots=True)
class Open:
    seat_ids: tuple[int, ...]
    waiter_ids: tuple[int, ...]
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Exclusive:
    seat_id: int
    waiter_id: int
    deadline: datetime


Action = Extend | Lapse | Expire | EndRound | Detach | Return | Join | Skip | Promote | Open | Exclusive


def decide(queue: Queue, now: datetime) -> list[Action]:
    """What has to happen at this moment, next; an empty list when nothing has."""
    moved = [move for one in queue.rounds if (move := extension(one, queue.terms)) is not None]
    if moved:
        return moved
    over = [Lapse(offer.id) for offer in queue.offers if now >= offer.ends_at]
    if over:
        return over
    ended = [EndRound(one.id) for one in queue.rounds if not queue.offers_of(one.id)]
    if ended:
        return ended
    if now >= queue.terms.cutoff:
        return _close(queue)
    for one in queue.rounds:
        seats = queue.seats_of(one.id)
        if len(seats) > len(queue.offers_of(one.id)):
            return [Detach(seats[-1].id)]
    promotion = _promotion(queue, now)
    if promotion:
        return promotion
    unoffered = [seat for seat in queue.seats if seat.round_id is None]
    return _assign(queue, unoffered, now) if unoffered else []


def extension(one: Round, terms: Terms) -> Extend | None:
    """WeChat took the round's first message only after a minute, and before its deadline: everybody gets the whole
    window from then, once (Q13)."""
    taken = one.first_taken_at
    if one.extended or taken is None or taken - one.started_at <= rules.SILENCE or taken >= one.deadline:
        return None
    later = rules.deadline_of(taken, terms.window, terms.quiet, terms.cutoff)
    return Extend(one.id, later) if later > one.deadline else None


def _close(queue: Queue) -> list[Action]:
    """The cutoff has passed. Who began before it keeps their seat until their grace ends (96.58)."""
    closing: list[Action] = [Expire(waiter.id) for waiter in queue.idle]
    for seat in queue.seats:
        mates = [] if seat.round_id is None else queue.seats_of(seat.round_id)
        finishing = 0 if seat.round_id is None else len(queue.offers_of(seat.round_id))
        if seat not in mates[:finishing]:
            closing.append(Return(seat.id, "cutoff"))
    return closing


def _promotion(queue: Queue, now: datetime) -> list[Action]:
    """The first seat that is somebody's who has consented in advance (Q9), before anyone else is told; those who
    consented earlier and cannot take it are skipped with the reason."""
    first_asked = {WaitlistPolicy.OPEN_THEN_SEQUENTIAL, WaitlistPolicy.AUTO_PROMOTE}
    ready = {waiter.id for waiter in queue.waiters if waiter.auto and waiter.refusal is None}
    if not ready:
        return []
    alone = {offer.waiter_id for offer in queue.offers if offer.kind == OfferKind.EXCLUSIVE}
    by_round = {one.id: one for one in queue.rounds}
    able = [waiter.id for waiter in queue.idle if waiter.refusal is None]
    for seat in queue.seats:
        one = by_round.get(seat.round_id)
        if one is None:
            if queue.terms.policy in first_asked and (
                not seat.opened or queue.terms.policy == WaitlistPolicy.AUTO_PROMOTE
            ):
                willing = [w.id for w in queue.waiters if w.id in ready and w.id not in alone]
            else:
                willing = [waiter_id for waiter_id in able[:1] if waiter_id in ready]
        elif one.kind == OfferKind.EXCLUSIVE:
            willing = [o.waiter_id for o in queue.offers_of(one.id) if o.waiter_id in ready]
        elif now < one.deadline:
            willing = [w.id for w in queue.waiters if w.id in ready and w.id not in alone]
        else:
            willing = []  # those who began finish first (96.57)
        if willing:
            before = queue.waiters[: [waiter.id for waiter in queue.waiters].index(willing[0])]
            return [*_skips([waiter for waiter in before if waiter.auto], seat), Promote(seat.id, willing[0])]
    return []


def _assign(queue: Queue, unoffered: list[Seat], now: datetime) -> list[Action]:
    seat, terms = unoffered[0], queue.terms
    running = [one for one in queue.rounds if one.kind == OfferKind.OPEN and now < one.deadline]
    for one in running:
        if not seat.opened and len(queue.seats_of(one.id)) < len(queue.offers_of(one.id)):
            return [Join(seat.id, one.id)]
    able = [waiter for waiter in queue.idle if waiter.refusal is None]
    if not able:
        reason = "all_skipped" if queue.idle else "no_waiters"
        return [*_skips(queue.idle, seat), Return(seat.id, reason)]
    if rules.quiet_now(now, terms.quiet) is not None:
        return []
    deadline = rules.deadline_of(now, terms.window, terms.quiet, terms.cutoff)
    if not running and not seat.opened and _asks_everybody(queue, now):
        seats = [one.id for one in unoffered if not one.opened][: len(able)]
        skips = _skips(queue.idle, seat)
        return [*skips, Open(tuple(seats), tuple(waiter.id for waiter in able), deadline)]
    before = queue.idle[: queue.idle.index(able[0])]
    return [*_skips(before, seat), Exclusive(seat.id, able[0].id, deadline)]


def _asks_everybody(queue: Queue, now: datetime) -> bool:
    """Whether a fresh seat begins an open round: by policy, unless seats go one by one already (96.53); or as the final
    call of the policy that asks one by one (Q8)."""
    terms = queue.terms
    if terms.policy == WaitlistPolicy.OPEN_THEN_SEQUENTIAL:
        return not any(offer.kind == OfferKind.EXCLUSIVE for offer in queue.offers)
    return terms.policy == WaitlistPolicy.SEQUENTIAL and terms.cutoff - now < 2 * terms.window


def _skips(waiters: list[Waiter], seat: Seat) -> list[Action]:
    return [Skip(waiter.id, seat.id, waiter.refusal) for waiter in waiters if waiter.refusal is not None]
