"""Who may do what (P8): one table. The service layer asks it, the pages only mirror it.

Nobody with power over accounts has power over money (S9); the auditor reads everything and changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from app.domain.audit.actor import Actor, ActorType
from app.errors import Forbidden, StepUpRequired


class Role(StrEnum):
    FRONT_DESK = "front_desk"
    FINANCE = "finance"
    MANAGER = "manager"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Permission(StrEnum):
    """One word per power; a route declares exactly one, a use case requires one."""

    HOME = "home"  # the portal's start page and one's own account
    SEARCH = "search"
    FAMILY_VIEW = "family.view"
    FAMILY_EDIT = "family.edit"
    REVEAL = "family.reveal"  # see a masked phone or birthday, with a reason
    FAMILY_MERGE = "family.merge"  # move a student or parent, merge families, with their money
    FAMILY_ERASE = "family.erase"  # the second person of deleting a family's personal data
    SCHEDULE_VIEW = "schedule.view"
    SCHEDULE_EDIT = "schedule.edit"  # create, copy, move, cancel sessions; courses, coaches, venues
    BOOKING_MAKE = "booking.make"  # book, cancel, take leave for a parent; mark attendance
    WAITLIST_MANAGE = "waitlist.manage"  # decide against a queue's order: offer, skip, move; tell again
    MAKEUP_MANAGE = "makeup.manage"  # book, invite, extend, void credits; give and take compensation minutes
    MAKEUP_WAIVE = "makeup.waive"  # let a longer makeup through without the minutes (M5)
    CAPACITY_OVERRIDE = "booking.override"  # one seat above the capacity
    LATE_REFUND_VIEW = "booking.late_refund_view"
    LATE_REFUND = "booking.late_refund"  # money back after the cutoff: ask for it, approve another's
    ADJUSTMENT_VIEW = "adjustment.view"
    ADJUSTMENT_ASK = "adjustment.ask"
    ADJUSTMENT_DIRECT = "adjustment.direct"  # complete one's own below the limits
    ADJUSTMENT_APPROVE = "adjustment.approve"
    ADJUSTMENT_BULK = "adjustment.bulk"  # ask for a whole sheet of adjustments
    ORDER_VIEW = "order.view"
    ORDER_ASK = "order.ask"  # ask WeChat about an order; take its money over the counter, for another to confirm
    ORDER_CONFIRM = "order.confirm"  # the second person of money over the counter
    REFUND_ASK = "refund.ask"
    REFUND_APPROVE = "refund.approve"
    CASE_VIEW = "case.view"  # the exceptions board
    CASE_SETTLE = "case.settle"
    WITHDRAWAL_VIEW = "withdrawal.view"
    WITHDRAWAL_APPROVE = "withdrawal.approve"  # let a parent have money back, or say no
    WITHDRAWAL_PAY = "withdrawal.pay"  # note that it was paid out, or could not be; never one's own approval
    RECONCILE_VIEW = "reconcile.view"  # differences, and how healthy the money is
    RECONCILE_SETTLE = "reconcile.settle"  # settle a difference with a note; compare a day again
    RECEIPT_VIEW = "receipt.view"
    QUESTION_ANSWER = "question.answer"  # answer what parents ask about their transactions
    WALLET_CONTROL = "wallet.control"  # freeze, close, own overdraft limit, bypass
    NOTICE_VIEW = "notice.view"
    NOTICE_RESEND = "notice.resend"
    BOOKS_VIEW = "books.view"  # a day's report and its close, revenue by month
    BOOKS_CLOSE = "books.close"  # sign a day
    EXPORT = "export"  # take a list of families with their money out of the house
    AUDIT_VIEW = "audit.view"
    POLICY_VIEW = "policy.view"
    POLICY_EDIT = "policy.edit"
    TEMPLATE_VIEW = "template.view"
    TEMPLATE_EDIT = "template.edit"
    STAFF_VIEW = "staff.view"
    STAFF_EDIT = "staff.edit"
    ROLE_APPROVE = "staff.role_approve"  # the second person of a role change
    JOB_VIEW = "job.view"  # long work: how far it is, and its results
    BULK_CHOOSE = "bulk.choose"  # several rows of a list at once; each action asks for its own right too
    JOB_STOP = "job.stop"  # cancel long work, or let it go on
    SYSTEM_VIEW = "system.view"
    SYSTEM_RUN = "system.run"  # run a periodic job by hand


P = Permission
_FRONT_DESK = {
    P.HOME, P.SEARCH, P.FAMILY_VIEW, P.FAMILY_EDIT, P.REVEAL, P.ADJUSTMENT_VIEW, P.ADJUSTMENT_ASK,
    P.RECEIPT_VIEW, P.NOTICE_VIEW, P.SCHEDULE_VIEW, P.BOOKING_MAKE, P.ORDER_VIEW, P.ORDER_ASK, P.CASE_VIEW,
    P.WAITLIST_MANAGE, P.MAKEUP_MANAGE, P.JOB_VIEW, P.QUESTION_ANSWER, P.BULK_CHOOSE,
}  # fmt: skip
_FINANCE = _FRONT_DESK | {
    P.ADJUSTMENT_DIRECT, P.ADJUSTMENT_APPROVE, P.NOTICE_RESEND, P.POLICY_VIEW, P.FAMILY_MERGE, P.LATE_REFUND_VIEW,
    P.LATE_REFUND, P.EXPORT, P.ORDER_CONFIRM, P.REFUND_ASK, P.REFUND_APPROVE, P.CASE_SETTLE,
    P.WITHDRAWAL_VIEW, P.WITHDRAWAL_APPROVE, P.WITHDRAWAL_PAY, P.ADJUSTMENT_BULK, P.JOB_STOP, P.BOOKS_VIEW,
    P.BOOKS_CLOSE, P.RECONCILE_VIEW, P.RECONCILE_SETTLE,
}  # fmt: skip
_MANAGER = _FINANCE | {
    P.SCHEDULE_EDIT, P.CAPACITY_OVERRIDE, P.MAKEUP_WAIVE, P.FAMILY_ERASE,
    P.WALLET_CONTROL, P.POLICY_EDIT, P.TEMPLATE_VIEW, P.TEMPLATE_EDIT, P.AUDIT_VIEW, P.STAFF_VIEW,
    P.ROLE_APPROVE, P.SYSTEM_VIEW,
}  # fmt: skip
_AUDITOR = {
    P.HOME, P.SEARCH, P.FAMILY_VIEW, P.SCHEDULE_VIEW, P.ADJUSTMENT_VIEW, P.RECEIPT_VIEW, P.NOTICE_VIEW, P.AUDIT_VIEW,
    P.POLICY_VIEW, P.STAFF_VIEW, P.SYSTEM_VIEW, P.EXPORT, P.ORDER_VIEW, P.CASE_VIEW, P.WITHDRAWAL_VIEW,
    P.JOB_VIEW, P.BOOKS_VIEW, P.RECONCILE_VIEW, P.LATE_REFUND_VIEW, P.TEMPLATE_VIEW,
}  # fmt: skip
_ADMIN = {P.HOME, P.STAFF_VIEW, P.STAFF_EDIT, P.ROLE_APPROVE, P.SYSTEM_VIEW, P.SYSTEM_RUN, P.POLICY_VIEW}

ROLE_PERMISSIONS: dict[str, frozenset[Permission]] = {
    Role.FRONT_DESK: frozenset(_FRONT_DESK),
    Role.FINANCE: frozenset(_FINANCE),
    Role.MANAGER: frozenset(_MANAGER),
    Role.AUDITOR: frozenset(_AUDITOR),
    Role.ADMIN: frozenset(_ADMIN),
}

#: roles that move money: a second factor is compulsory for them (P7)
MONEY_ROLES = frozenset({Role.FINANCE, Role.MANAGER})


def may(actor: Actor, permission: Permission) -> bool:
    """Whether this actor's role holds the permission. The system holds all, a parent none of the desk's."""
    if actor.type == ActorType.SYSTEM:
        return True
    return actor.type == ActorType.STAFF and permission in ROLE_PERMISSIONS.get(actor.role or "", ())


def require(actor: Actor, permission: Permission) -> None:
    """Raises Forbidden."""
    if not may(actor, permission):
        raise Forbidden(data={"permission": str(permission)})


def require_proof(actor: Actor, max_age: float) -> None:
    """Raises StepUpRequired when the last password or TOTP is older than `max_age` seconds (P9)."""
    if actor.type == ActorType.STAFF and (actor.proof_age is None or actor.proof_age > max_age):
        raise StepUpRequired
