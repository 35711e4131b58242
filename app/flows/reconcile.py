"""A whole reconciliation: WeChat's bill of a day, then every check of the books; by command, by night, or as long work
that a person asked for (W24, U11)."""

from __future__ import annotations

from datetime import date

from app.domain.audit.actor import Actor, system
from app.domain.orders.errors import PaymentUnavailable
from app.domain.reconcile import books, differences, runs
from app.domain.reconcile.books import Check
from app.domain.reconcile.differences import Outcome
from app.errors import InvalidState
from app.flows import bills

_WORKER = system("对账")


def check_books(actor: Actor) -> list[tuple[Check, Outcome]]:
    """Every check of the books, its differences kept; the money group hears of what is open."""
    done = [(check, _check(check, actor)) for check in books.CHECKS]
    differences.tell()
    return done


def _check(check: Check, actor: Actor) -> Outcome:
    look = check.look()
    return differences.record_books(
        name=check.name, kinds=check.kinds, found=look.found, judged=look.judged, actor=actor
    )


def do_row(*, job_id: int, owner: str) -> int:
    """The next step of a reconciliation that a person asked for: the bill first, then a check of the books each.

    A step may be done twice, when a worker dies between its work and its note: it changes nothing then. Raises
    LeaseLost, and what the bill raises, which refuses that row alone.
    """
    day, step = runs.place(job_id)
    if step == 0:
        _take_bill(day)
    else:
        _check(books.CHECKS[step - 1], _WORKER)
    left = runs.note_step(job_id=job_id, owner=owner)
    if left == 0:
        differences.tell()
    return left


def _take_bill(day: date) -> None:
    if not bills.has_account():
        return
    try:
        bills.reconcile_day(day, _WORKER)
    except PaymentUnavailable as error:
        # Trying at once again does not make a bill: the row is refused, and the books are looked at all the same.
        raise InvalidState(error.message, code=error.code) from error
