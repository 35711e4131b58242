"""A family's data deleted by two at once, or while it books or its balance moves; two cleanings at once (S8, S12).

The controls decide by what was read before the locks, or take a lock away, and leave what must never be: an erased
family with a class to come, money on a closed wallet, rows that two runs both count as theirs.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry
from app.domain.bookings import place
from app.domain.bookings.models import Booking
from app.domain.ledger import control, verify
from app.domain.ledger.models import Wallet, WalletStatus
from app.domain.makeups.models import MakeupFailure
from app.domain.people.models import Family, Profile, User
from app.domain.retention import cleanup, erasing, proof, quiet, requests
from app.domain.retention.models import ErasureCertificate
from tests.at_once import at_once_in
from tests.concurrency.test_approvals import is_mysql
from tests.concurrency.test_refund_races import words
from tests.domain.desk.desk import ask, balance, movements
from tests.factories import MadeFamily, make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency

ROUNDS = 6
NIGHT = system("families_erase")


@pytest.fixture
def people(desk):
    """Front desk, which asks, and two managers."""
    return [actor_of(make_staff(role)) for role in ("front_desk", "manager", "manager")]


def asked(family: MadeFamily, people) -> int:
    return requests.ask(family_id=family.id, reason="parent_asked", actor=people[0])


def by_night(family: MadeFamily) -> bool:
    """As the job does it for a family of whom nobody has heard."""
    return quiet._erase(family_id=family.id, before=clock.now() + timedelta(days=1), actor=NIGHT)


def traces(family: MadeFamily) -> tuple[int, int, bool]:
    """Certificates, audit rows of an erasure, and whether the family is marked as erased."""
    db.session.rollback()
    certificates = sa.select(sa.func.count()).where(ErasureCertificate.family_id == family.id)
    told = sa.select(sa.func.count()).where(AuditEntry.action == "family.erased", AuditEntry.family_id == family.id)
    erased = db.session.get(Family, family.id, populate_existing=True).erased_at is not None
    return db.session.scalar(certificates), db.session.scalar(told), erased


def whole(family: MadeFamily) -> bool:
    """Whether it is erased whole or not at all: certificate, trace, mark, wallet, names. Returns which."""
    certificates, told, erased = traces(family)
    assert certificates == told == int(erased)
    closed = db.session.get(Wallet, family.wallet_id, populate_existing=True).status == WalletStatus.CLOSED
    gone = db.session.get(User, family.user_id, populate_existing=True).openid == f"erased-{family.user_id}"
    left = [db.session.get(Profile, one, populate_existing=True).status == "left" for one in family.profile_ids]
    assert {closed, gone, *left} == {erased}
    return erased


# ── two who delete ──────────────────────────────────────────────────────────────────────────────────


def test_two_managers_and_two_nights_delete_once(desk, people):
    for _ in range(ROUNDS):
        family = make_family(students=("甲", "乙"))
        request = asked(family, people)
        answers = at_once_in(
            desk,
            *(lambda m=manager, r=request: requests.approve(request_id=r, actor=m) for manager in people[1:]),
            *(lambda f=family: by_night(f) for _ in range(2)),
        )
        # Who deletes by night and comes second says so by False; a manager is refused.
        done = [answer for answer in answers if answer and not isinstance(answer, Exception)]
        assert len(done) == 1, answers
        assert set(words(answers)) <= {"ok", "INVALID_STATE", "ERASURE_BLOCKED"}, answers
        assert whole(family)
    assert proof.check().problems == []
    assert verify.run(full=True).sound


def test_control_what_was_read_before_the_lock_deletes_twice(desk, monkeypatch):
    monkeypatch.setattr(erasing, "obstacles", lambda scope: [])
    monkeypatch.setattr(quiet, "_quiet", lambda before: [])
    monkeypatch.setattr(erasing, "_close_wallets", lambda scope, actor: None)
    family = make_family()
    answers = at_once_in(desk, *(lambda: by_night(family) for _ in range(2)))
    # Both believe that they may; only the certificate's key stops the second, which is no refusal by name.
    assert sorted(type(answer).__name__ for answer in answers) == ["IntegrityError", "bool"]


# ── deleted while the family lives on ───────────────────────────────────────────────────────────────


def one_of_two(answers: list, *refusals: str) -> None:
    refused, done = words(answers)  # small letters come after capitals
    assert done == "ok", answers
    assert refused in refusals, answers


def test_deleted_or_booked_never_both(desk, people):
    became = Counter()
    for turn in range(ROUNDS + 2):
        family, session = make_family(), make_session()
        request = asked(family, people)
        erased, booked = _staggered(
            desk, turn,
            lambda r=request: requests.approve(request_id=r, actor=people[1]),
            lambda f=family, s=session: place.book(schedule_id=s, profile_id=f.profile_ids[0], actor=parent_actor(f)),
        )  # fmt: skip
        one_of_two([erased, booked], "ERASURE_BLOCKED", "NOT_FOUND")
        assert whole(family) is not isinstance(erased, Exception)
        seats = db.session.scalar(sa.select(sa.func.count()).where(Booking.course_schedule_id == session))
        assert seats == (0 if whole(family) else 1)
        became[whole(family)] += 1
    assert set(became) == {True, False}, "one order was never tried"
    assert verify.run(full=True).sound


def test_control_what_was_read_before_the_lock_deletes_a_family_that_has_a_class(desk, people, monkeypatch):
    monkeypatch.setattr(erasing, "obstacles", lambda scope: [])  # what both saw: nothing open
    monkeypatch.setattr(control, "end", lambda wallet, reason, actor: None)
    family, session = make_family(), make_session()
    request = asked(family, people)
    place.book(schedule_id=session, profile_id=family.profile_ids[0], actor=parent_actor(family))
    requests.approve(request_id=request, actor=people[1])
    assert traces(family) == (1, 1, True)
    assert db.session.scalar(sa.select(Booking.status).where(Booking.course_schedule_id == session)) == "booked"


def test_deleted_or_credited_never_both(desk, people):
    became, clerk = Counter(), make_staff("finance")
    for turn in range(ROUNDS + 2):
        family = make_family()
        request = asked(family, people)
        erased, credited = _staggered(
            desk, turn,
            lambda r=request: requests.approve(request_id=r, actor=people[1]),
            lambda f=family: ask(clerk, f, "1.00"),
        )  # fmt: skip
        one_of_two([erased, credited], "ERASURE_BLOCKED", "WALLET_NOT_EMPTY", "WALLET_CLOSED")
        assert whole(family) is not isinstance(erased, Exception)
        held = (Decimal("0.00"), 0) if whole(family) else (Decimal("1.00"), 1)
        assert (balance(family), movements(family)) == held
        became[whole(family)] += 1
    assert set(became) == {True, False}, "one order was never tried"
    assert verify.run(full=True).sound


def test_a_night_that_meets_money_goes_on(desk, monkeypatch):
    """Money that came after the look stops that family's deletion, and nobody else's."""
    family, other = make_family(balance="1.00"), make_family()
    monkeypatch.setattr(erasing, "obstacles", lambda scope: [])
    assert [by_night(family), by_night(other)] == [False, True]
    assert [whole(family), whole(other)] == [False, True]


def test_control_without_the_locks_money_stays_on_a_closed_wallet(desk, people, monkeypatch):
    if not is_mysql(desk):
        return  # SQLite has one writer at a time: there is no lock to take away
    family, clerk = make_family(), make_staff("finance")
    request = asked(family, people)

    def read_before(wallet_ids):
        """The wallets as they were; the credit comes after this look."""
        seen = {wallet_id: db.session.get(Wallet, wallet_id) for wallet_id in wallet_ids}
        assert words(at_once_in(desk, lambda: ask(clerk, family, "1.00"))) == ["ok"]
        return seen

    monkeypatch.setattr(erasing, "lock_rows", lambda model, ids: [])
    monkeypatch.setattr(erasing, "lock_wallets", read_before)
    requests.approve(request_id=request, actor=people[1])
    db.session.rollback()
    wallet = db.session.get(Wallet, family.wallet_id, populate_existing=True)
    assert (wallet.status, wallet.balance) == (WalletStatus.CLOSED, Decimal("1.00"))


def _staggered(desk, turn: int, first, second) -> list:
    """Both at once: clearly one before the other twice, then each of them a moment ahead in turn."""
    ahead = 1.0 if turn < 2 else 0.02 * (turn % 4)

    def late(act):
        time.sleep(ahead)
        return act()

    if turn % 2:
        return at_once_in(desk, first, lambda: late(second))
    return at_once_in(desk, lambda: late(first), second)


# ── two nights' cleanings ───────────────────────────────────────────────────────────────────────────


def old_failures(count: int) -> None:
    """Rows that have been kept long enough, and two that have not."""
    old, young = clock.now() - timedelta(days=4000), clock.now()
    with transaction():
        db.session.execute(
            MakeupFailure.__table__.insert(),
            [{"course_schedule_id": n + 1, "profile_id": n + 1, "error": "x", "failed_at": old if n >= 2 else young}
             for n in range(count + 2)],
        )  # fmt: skip


def failures_left() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count()).select_from(MakeupFailure))


def cleaned(lines) -> int:
    return {line.kind: line.rows for line in lines}["makeup_failures"]


def told() -> list[int]:
    mine = (AuditEntry.action == "data.cleaned", AuditEntry.target_id == "makeup_failures")
    query = sa.select(AuditEntry.after).where(*mine)
    return [row["rows"] for row in db.session.scalars(query)]


def test_two_cleanings_at_once_share_the_work(live_app, monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH", 7)
    with live_app.app_context():
        old_failures(100)
        answers = at_once_in(live_app, *(lambda: cleanup.run(NIGHT) for _ in range(3)))
        assert words(answers) == ["ok"] * 3, answers
        assert sum(cleaned(lines) for lines in answers) == 100
        assert sum(told()) == 100
        assert failures_left() == 2
        db.session.remove()


def test_control_without_the_lock_both_count_the_same_rows(live_app, monkeypatch):
    """Two who look before either deletes, and count what they saw."""
    gate = threading.Barrier(2)

    def counts_what_it_saw(keys: list) -> int:
        with suppress(threading.BrokenBarrierError):
            gate.wait(timeout=5)
        db.session.execute(MakeupFailure.__table__.delete().where(MakeupFailure.id.in_(keys)))
        return len(keys)

    kind = next(kind for kind in cleanup.KINDS if kind.name == "makeup_failures")
    with live_app.app_context():
        old_failures(20)
        look = sa.Select.with_for_update
        monkeypatch.setattr(sa.Select, "with_for_update", lambda self, *a, **k: self)
        monkeypatch.setattr(type(kind), "drop", property(lambda self: counts_what_it_saw), raising=False)
        answers = at_once_in(live_app, *(lambda: cleanup._clean(kind, NIGHT) for _ in range(2)))
        monkeypatch.setattr(sa.Select, "with_for_update", look)
        db.session.remove()
        counted = sum(line.rows for line in answers if not isinstance(line, Exception))
        # SQLite has one writer at a time: the second sees what the first did, whatever it does not lock.
        assert counted == (40 if is_mysql(live_app) else 20), answers
