"""What becomes of a message after an attempt (N4): a pure table from outcome to decision."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.domain.outbox.models import Status

#: seconds before the next attempt, by the number of those made (96.75)
DELAYS = (2, 5, 15, 60, 300)
#: a message that a provider's limit holds up for longer than this is of no more use on that channel
PATIENCE = timedelta(hours=24)


class Result(StrEnum):
    """How one attempt ended."""

    SENT = "sent"
    REFUSED = "refused"  # another try would be refused too
    TEMPORARY = "temporary"  # network, 5xx: the same again later
    UNKNOWN = "unknown"  # handed over, then silence: it may have arrived
    PAUSED = "paused"  # the provider asks for a pause and did not look at the message


@dataclass(frozen=True, slots=True)
class Outcome:
    """`code` is short and stable, `error` a Chinese sentence for the notification centre."""

    result: Result
    code: str | None = None
    error: str | None = None
    message_id: str | None = None
    #: seconds, for PAUSED
    pause: float = 60.0
    #: the provider says that no consent is left (43101)
    no_consent: bool = False
    #: the template is wrong, so every message of the type will be refused (47003, 40037, 41030)
    template_wrong: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    status: Status
    #: seconds until the next attempt, for PENDING
    delay: float = 0.0
    #: whether this attempt counts towards the tries
    counts: bool = True
    #: whether the consent that it took is given back
    gives_back: bool = False
    #: whether the in-app list takes over (N8)
    falls_back: bool = False


def decide(
    outcome: Outcome, *, attempt: int, most: int, age: timedelta, repeats_unknown: bool, can_fall_back: bool
) -> Decision:
    """What to do after `attempt` (1 is the first) of at most `most`."""
    if outcome.result == Result.SENT:
        return Decision(Status.SENT)
    if outcome.result == Result.PAUSED:
        if age > PATIENCE and can_fall_back:
            return Decision(Status.FAILED, gives_back=True, falls_back=True)
        return Decision(Status.PENDING, delay=jittered(outcome.pause), counts=False, gives_back=True)
    unknown = outcome.result == Result.UNKNOWN
    again = outcome.result == Result.TEMPORARY or (unknown and repeats_unknown)
    if again and attempt < most:
        return Decision(Status.PENDING, delay=jittered(DELAYS[min(attempt, len(DELAYS)) - 1]), gives_back=True)
    # After silence the consent stays spent: the message probably used it up at WeChat.
    return Decision(Status.FAILED, gives_back=not unknown and not outcome.no_consent, falls_back=can_fall_back)


def jittered(seconds: float) -> float:
    """±20 %, so that what failed together does not come back together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
