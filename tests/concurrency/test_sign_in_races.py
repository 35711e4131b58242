"""Races of signing in: guesses at once, one code twice, one limit by many. Each has its control (P7, Z6)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.people import attempts, limits, staff, totp
from app.domain.people.attempts import LockedOut
from app.domain.people.models import RateCount, SignInFailure, Staff, StaffStatus
from app.errors import DomainError, TooMany
from tests.accounts import code, make_account
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.concurrency
WORKERS = 12


def all_at_once(app, act: Callable[[int], object], workers: int = WORKERS) -> list[object]:
    """Run `act` in as many threads, all starting together, each with a session of its own."""
    start = Barrier(workers)

    def one(number: int) -> object:
        with app.app_context():
            start.wait()
            try:
                return act(number)
            except DomainError as error:
                return error
            finally:
                db.session.remove()

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, range(workers)))


def passed(results: list[object]) -> int:
    return sum(1 for result in results if not isinstance(result, DomainError))


def test_simultaneous_guesses_get_no_more_than_five(live_app):
    results = all_at_once(live_app, lambda _n: attempts.begin("k" * 32, "10.0.0.9", count_address=False))
    assert 1 <= passed(results) <= 5
    assert all(isinstance(r, LockedOut) for r in results if isinstance(r, DomainError))


def test_control_counting_before_writing_lets_more_through(live_app):
    together = Barrier(WORKERS)

    def look_first(_number: int) -> None:
        counted = db.session.scalar(sa.select(sa.func.count()).select_from(SignInFailure))
        db.session.rollback()
        together.wait()  # everyone has looked before anyone writes, as under load
        if counted >= 5:
            raise LockedOut
        with transaction():
            db.session.add(SignInFailure(account="k", address="10.0.0.9", created_at=clock.now()))

    assert passed(all_at_once(live_app, look_first)) > 5


def test_one_code_signs_in_once(live_app):
    with live_app.app_context(), clock.travel(to=clock.now()):
        person = make_account("finance")
        db.session.remove()
        typed = code()

        def use(_number: int) -> str | None:
            from app.db import transactional

            return transactional(lambda: totp.spend(person.id, typed))()

        results = all_at_once(live_app, use)
    assert [r for r in results if r == "totp"] == ["totp"]


def test_control_looking_before_storing_the_step_lets_a_code_through_twice(live_app):
    with live_app.app_context(), clock.travel(to=clock.now()):
        person = make_account("finance")
        db.session.remove()
        together = Barrier(WORKERS)

        def look_first(_number: int) -> bool:
            last = db.session.scalar(sa.select(Staff.totp_last_step).where(Staff.id == person.id))
            db.session.rollback()
            together.wait()
            return last is None

        assert sum(all_at_once(live_app, look_first)) > 1


def test_a_limit_lets_exactly_its_number_through(live_app):
    with clock.travel(to=clock.now()):
        results = all_at_once(live_app, lambda _n: limits.hit("race", limit=5, window_seconds=60))
    assert passed(results) == 5
    assert all(isinstance(r, TooMany) for r in results if isinstance(r, DomainError))
    with live_app.app_context():
        assert db.session.scalar(sa.select(RateCount.count)) == 5


def test_two_admins_who_disable_each_other_leave_one(live_app):
    with live_app.app_context():
        admins = [make_staff("admin"), make_staff("admin")]
        db.session.remove()
    results = all_at_once(
        live_app,
        lambda n: staff.disable(staff_id=admins[1 - n].id, reason="争执", actor=actor_of(admins[n])),
        workers=2,
    )
    with live_app.app_context():
        active = db.session.scalar(
            sa.select(sa.func.count()).select_from(Staff).where(Staff.status == StaffStatus.ACTIVE)
        )
    assert passed(results) == 1
    assert active == 1
