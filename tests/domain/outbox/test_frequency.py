"""How often and at what hour each of the sixteen types may come: quiet hours, cooldown, switches (N6, 96.72, 96.76)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app import clock
from app.config import MESSAGE_TYPES
from app.db import transaction, transactional
from app.domain.audit.actor import Actor, system
from app.domain.ledger import service as ledger
from app.domain.outbox import consents, delivery, preferences, service
from app.domain.policy.models import PolicyValue
from app.errors import Invalid
from tests import factories
from tests.domain.outbox.families import make_family, prefer, rows

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
#: 22:00 in the studio, and the end of its quiet hours
NIGHT = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
MORNING = datetime(2026, 11, 21, 0, 0, tzinfo=UTC)

URGENT = {
    "waitlist_offer", "waitlist_expired", "seat_taken", "payment_result", "payment_expired", "refund_result",
    "class_cancelled", "class_changed",
}  # fmt: skip
SWITCHABLE = {"booking_made", "booking_cancelled", "balance_changed", "low_balance", "class_reminder"}
#: `balance_changed` reports a fact and is not held back (docs/decisions/0006-balance-messages.md)
COOLED = {"low_balance", "arrears"}


@transactional
def tell(family: int, name: str, dedupe: str, **more) -> list[int]:
    return service.tell_family(family, name, {}, dedupe=dedupe, **more)


@pytest.mark.parametrize("name", MESSAGE_TYPES)
def test_quiet_hours_hold_back_what_is_not_urgent(app, name):
    family, _ = make_family(consents={name: 1})
    with clock.travel(to=NIGHT):
        tell(family, name, "a")
    [row] = rows(family_id=family)
    assert row.next_attempt_at == (NIGHT if name in URGENT else MORNING)
    assert row.queue == ("urgent" if name in URGENT else "default")


@pytest.mark.parametrize("name", MESSAGE_TYPES)
def test_in_app_a_message_is_there_at_once_whatever_the_hour(app, name):
    family, _ = make_family()
    with clock.travel(to=NIGHT):
        tell(family, name, "a")
    [row] = rows(family_id=family)
    assert (row.channel, row.status, row.sent_at) == ("in_app", "sent", NIGHT)


@pytest.mark.parametrize("name", MESSAGE_TYPES)
def test_one_in_24_hours_of_the_balance_reminders_and_every_one_of_the_rest(app, name):
    family, _ = make_family(parents=2, consents={name: 9})
    for hours, key in ((0, "a"), (1, "b"), (23.9, "c"), (24, "d")):
        with clock.travel(to=NOON + timedelta(hours=hours)):
            tell(family, name, key)
    told = [r for r in rows(family_id=family) if r.status == "pending"]
    assert len(told) == (2 * 2 if name in COOLED else 4 * 2)
    held = [r for r in rows(family_id=family) if r.status == "suppressed"]
    assert {r.error_code for r in held} == ({"cooldown"} if name in COOLED else set())


@pytest.mark.parametrize("name", MESSAGE_TYPES)
def test_a_parent_may_turn_off_the_five_and_no_others(app, name):
    family, [user] = make_family(consents={name: 1})
    parent = Actor(type="parent", id=user, name="家长", family_id=family)
    if name in SWITCHABLE:
        preferences.put(user_id=user, wanted={name: False}, actor=parent)
    else:
        with pytest.raises(Invalid):
            preferences.put(user_id=user, wanted={name: False}, actor=parent)
        prefer(user, name, False)  # even a row that some other way got there
    with clock.travel(to=NOON):
        tell(family, name, "a")
    assert [r.status for r in rows(family_id=family)] == (["suppressed"] if name in SWITCHABLE else ["pending"])


@pytest.mark.parametrize("name", sorted(COOLED))
def test_urgent_ones_ignore_the_cooldown_and_count_for_it(app, name):
    family, _ = make_family(consents={name: 9})
    with clock.travel(to=NOON):
        tell(family, name, "a")
        tell(family, name, "b", urgent=True)
        tell(family, name, "c")
    with clock.travel(to=NOON + timedelta(hours=23)):
        tell(family, name, "d", cooled=False)
    with clock.travel(to=NOON + timedelta(hours=25)):
        tell(family, name, "e")  # two hours after the exempt one
    keys = [r.dedupe_key.split(":")[-2] for r in rows(family_id=family, status="pending")]
    assert len(keys) == 3
    assert keys[1:] == ["b", "d"]


@pytest.mark.parametrize("name", sorted(COOLED))
def test_what_went_into_the_app_when_it_was_to_be_sent_counts_and_silences_nobody_for_ever(app, name):
    """The consent was gone by then: the message was told, in the app, and the next after a day is told too."""
    family, [user] = make_family(consents={name: 1})
    with clock.travel(to=NOON):
        [first] = tell(family, name, "a")
        with transaction():
            consents.clear(user, name)
        assert delivery.claim(notification_id=first) is None
    told = []
    for hours in (1, 23.9, 24, 47.9, 48):
        with clock.travel(to=NOON + timedelta(hours=hours)):
            told.append(len(tell(family, name, f"h{hours}")))
    assert told == [0, 0, 1, 0, 1]


def test_exempt_from_the_cooldown_it_is_still_told_once(app):
    family, _ = make_family(parents=2)
    assert len(tell(family, "arrears", "step", cooled=False)) == 2
    assert tell(family, "arrears", "step", cooled=False) == []
    assert len(rows(family_id=family)) == 2


def test_the_hours_and_the_interval_are_policies(app):
    family, _ = make_family(consents={"low_balance": 9})
    with transaction() as state:
        for name, value in (("quiet_hours", "off"), ("balance_message_cooldown", "1h")):
            state.session.add(PolicyValue(name=name, value=value, updated_at=clock.now(), updated_by="test"))
    for minutes in (0, 59, 60):
        with clock.travel(to=NIGHT + timedelta(minutes=minutes)):
            tell(family, "low_balance", f"m{minutes}")
    sent = rows(family_id=family, status="pending")
    assert [r.next_attempt_at for r in sent] == [NIGHT, NIGHT + timedelta(minutes=60)]


@pytest.mark.parametrize(
    ("opening", "amount", "expected"),
    [
        ("500.00", "-300.00", []),  # exactly the threshold
        ("500.00", "-300.01", ["low_balance"]),
        ("199.99", "-199.99", ["low_balance"]),  # exactly zero owes nothing
        ("100.00", "-100.01", ["arrears"]),  # never both
        ("-100.00", "-1.00", ["arrears"]),
        ("-100.00", "50.00", ["low_balance"]),  # a credit that leaves it below: low, as after every change
        ("0.00", "199.99", ["low_balance"]),
        ("0.00", "200.00", []),
    ],
)
def test_low_balance_and_arrears_after_every_change(app, opening, amount, expected):
    with clock.travel(to=NOON - timedelta(days=2)):
        family = factories.make_family(balance=opening)
    before = {row.id for row in rows(family_id=family.id)}
    with clock.travel(to=NOON), transaction():
        ledger.post(
            ledger.lock_wallet(wallet_id=family.wallet_id), type="adjustment", amount=Decimal(amount),
            idempotency_key="w22", reference_type="adjustment", reference_id=1, reason="测试",
            actor=system("test"),
        )  # fmt: skip
    new = [row for row in rows(family_id=family.id) if row.id not in before and row.status != "suppressed"]
    assert [row.type for row in new] == ["balance_changed", *expected]


def test_who_acted_is_told_wherever_they_are_still_of_the_family(app):
    family, [one, two] = make_family(parents=2)
    here = tell(family, "booking_made", "here", user_id=one)
    gone = tell(family, "booking_made", "gone", user_id=one + two + 1)  # the student moved here from elsewhere
    assert (len(here), len(gone)) == (1, 2)
