"""A row for every path parameter, so that the route tests open pages that show something.

A new parameter gets one line in `ids`; what it names is made there through the services. Where one name means
different things, `ELSEWHERE` says which routes take which.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from io import BytesIO

import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.audit.models import AuditEntry
from app.domain.bookings import late, place
from app.domain.bookings.models import Booking
from app.domain.books import close
from app.domain.cases import service as cases
from app.domain.desk import bulk as asking
from app.domain.desk.models import Receipt
from app.domain.ledger.models import WalletTransaction
from app.domain.offers import join
from app.domain.orders import offline, refunds
from app.domain.outbox.models import Notification
from app.domain.people import role_changes
from app.domain.people.models import StaffSession
from app.domain.policy import changes
from app.domain.questions import service as questions
from app.domain.reconcile import bill
from app.domain.reconcile import queries as differences
from app.domain.reconcile.bill import Line
from app.domain.reconcile.models import BillKind
from app.domain.waitlist.models import SeatRelease
from app.flows import bulk, receipts
from tests.domain.desk import batches, desk
from tests.domain.makeups.steps import Away
from tests.domain.offers.steps import Full
from tests.domain.orders.steps import order, pay, trial_session
from tests.domain.withdrawals import steps as withdrawals
from tests.factories import make_course, make_family, make_session, parent_actor
from tests.gateways.receipt_files import png
from tests.portal import actor_of, make_staff

#: (beginning of the path, parameter) → the key in `ids` that is meant there
ELSEWHERE = {
    ("/settings/policies/requests/", "request_id"): "policy_request_id",
    ("/notices/report/", "kind"): "notice_kind",
    ("/late-refunds/", "request_id"): "late_refund_id",
    ("/exports/", "name"): "export_name",
    ("/choose/", "name"): "choice_name",
    ("/orders/", "order_id"): "paid_order_id",
    ("/catalog/", "kind"): "catalog_kind",
    ("/catalog/", "entry_id"): "course_id",
    ("/waitlist/", "entry_id"): "wait_id",
    ("/makeups/", "act"): "makeup_act",
    ("/reports/behaviour/rows/", "counted"): "behaviour_counted",
    ("/reports/makeups/rows/", "counted"): "makeup_counted",
    ("/reports/makeups/promises/", "promise"): "makeup_promise",
}


def ids() -> dict[str, object]:
    """Value of every path parameter that a route may have."""
    family = make_family(balance="120.00", phone="13700001234", birthday="2018-03-02")
    colleague, admin, manager = make_staff("front_desk"), make_staff("admin"), make_staff("manager")
    kept = receipts.keep([receipts.Upload("slip.png", BytesIO(png()))], actor=actor_of(colleague))
    asked = desk.ask(colleague, family, receipts=kept)
    course = make_course(price="20.00")
    booking, late_one = (
        place.book(
            schedule_id=make_session(course, starts_in=timedelta(days=days)), profile_id=family.profile_ids[0],
            actor=actor_of(colleague),
        ).booking_id
        for days in (2, 3)
    )  # fmt: skip
    trial, payer = trial_session(), make_family()
    paid_order, unpaid_order = order(payer, trial), order(make_family(), trial)
    pay(payer, paid_order)
    waiting = Full(waiting=2)
    waiting.free()
    return {
        "filename": "desk.svg",
        "help_page": "money",
        "help_picture": "today-1280.png",
        "waitlist_id": _waiting(),
        "family_id": family.id,
        **_question(family),
        "user_id": family.user_id,
        "profile_id": family.profile_ids[0],
        "adjustment_id": asked.adjustment_id,
        "on": _closed_day(manager),
        "withdrawal_id": withdrawals.request(make_family(balance="100.00")),
        "receipt_id": db.session.scalar(sa.select(sa.func.max(Receipt.id))),
        "staff_id": colleague.id,
        "batch_id": _batch(family),
        "job_id": _job(family),
        "request_id": role_changes.ask(staff_id=colleague.id, role="finance", reason="转岗", actor=actor_of(admin)),
        "policy_request_id": changes.ask(
            name="overdraft_limit", value="800.00", reason="收紧", actor=actor_of(manager)
        ),
        "session_id": _session_of(colleague.id),
        "entry_id": db.session.scalar(sa.select(sa.func.max(AuditEntry.id))),
        "notice_id": db.session.scalar(sa.select(sa.func.max(Notification.id))),
        "notification_id": 1,
        "name": "overdraft_limit",
        "kind": "balance_changed",
        "export_name": "notices",
        "choice_name": "makeups-extend",
        "notice_kind": "arrears",
        "booking_id": booking,
        "schedule_id": db.session.get(Booking, booking).course_schedule_id,
        "event": "attend",
        "catalog_kind": "course",
        "course_id": course,
        "order_id": order(make_family(), trial_session()),
        "paid_order_id": paid_order,
        "offline_id": _offline(unpaid_order, colleague),
        "refund_no": _refund(paid_order, manager),
        "case_id": _case(paid_order, payer.id, manager),
        "difference_id": _difference(),
        "figure": "started",
        "counted": "filled",
        "promise": "notices",
        "behaviour_counted": "made",
        "makeup_counted": "granted",
        "makeup_promise": "bookings",
        "wait_id": waiting.entries[0],
        "release_id": db.session.scalar(sa.select(sa.func.max(SeatRelease.id))),
        "act": "called",
        "makeup_act": "void",
        "credit_id": Away().credits[0],
        "makeup_booking_id": _makeup(),
        "late_refund_id": late.ask(booking_id=late_one, reason="生病", actor=actor_of(make_staff("finance"))),
    }


def _batch(family) -> int:
    """One that waits, with its sheet in the store."""
    sheet = receipts.Upload("十一月.csv", BytesIO(batches.csv_of([batches.cells(family)])))
    author = make_staff("manager")
    batch_id = bulk.upload(sheet, actor=actor_of(author)).batch_id
    asking.ask(batch_id=batch_id, note="奖励", actor=actor_of(author))
    return batch_id


def _job(family) -> int:
    return batches.approved(make_staff("finance"), make_staff("manager"), [batches.cells(family)])


def _refund(order_id: str, staff) -> str:
    return refunds.ask(
        order_id=order_id, amount=Decimal("50.00"), reason="少退一点", refund_to="original", actor=actor_of(staff)
    )


def _offline(order_id: str, staff) -> int:
    """One that is over: whether a person may press a button is asked, not whether it is their own."""
    entry = offline.ask(order_id=order_id, method="cash", note="到店付现", actor=actor_of(staff))
    offline.withdraw(offline_id=entry, actor=actor_of(staff))
    return entry


def _closed_day(staff) -> str:
    on = clock.today() - timedelta(days=3)
    seen = close.draft(on).digest
    close.close(on=on, counted_cash=Decimal("0.00"), causes={}, note="", seen=seen, actor=actor_of(staff))
    return on.isoformat()


def _case(order_id: str, family_id: int, staff) -> int:
    with transaction():
        return cases.open_case(
            "mismatch", order_id, title="金额不符", facts={"应付": "200.00"}, actor=actor_of(staff), order_id=order_id,
            family_id=family_id, amount=Decimal("200.00"),
        )  # fmt: skip


def _difference() -> int:
    day, actor = clock.today() - timedelta(days=4), system("test")
    line = Line(BillKind.PAYMENT, "4200000000", "f" * 32, Decimal("200.00"), clock.now())
    bill.record(day=day, lines=[line], actor=actor)
    return differences.open_ones()[0].id


def values_of(rule: str, names: set[str], found: dict[str, object]) -> dict[str, object]:
    """What to put into this rule. Raises KeyError for a parameter without a row."""
    meant = {name: key for (start, name), key in ELSEWHERE.items() if rule.startswith(start)}
    return {name: found[meant.get(name, name)] for name in names}


def _question(family) -> dict[str, int]:
    """A transaction of the family's, and what its parent asked about it."""
    transaction_id = db.session.scalar(
        sa.select(WalletTransaction.id).where(WalletTransaction.wallet_id == family.wallet_id).limit(1)
    )
    asked = questions.ask(transaction_id=transaction_id, text="这是什么？", actor=parent_actor(family))
    return {"transaction_id": transaction_id, "question_id": asked}


def _makeup() -> int:
    one = Away()
    return one.book(one.session()).booking_id


def _waiting() -> int:
    """Somebody in the queue of a full class."""
    family = make_family()
    return join.join(
        schedule_id=make_session(capacity=1, booked=1), profile_id=family.profile_ids[0], actor=parent_actor(family)
    )


def _session_of(staff_id: int) -> int:
    with transaction():
        now = clock.now()
        row = StaffSession(token_hash="0" * 64, staff_id=staff_id, created_at=now, last_seen_at=now, proved_at=now)
        db.session.add(row)
        db.session.flush()
        return row.id
