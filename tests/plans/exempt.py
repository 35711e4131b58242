"""What rightly reads a whole table, by name and with the reason; nothing else may."""

from __future__ import annotations

from dataclasses import dataclass

from tests.plans.explain import Scan


@dataclass(frozen=True)
class Exempt:
    """A statement that has all of these pieces may read these tables whole."""

    reason: str
    tables: frozenset[str]
    pieces: tuple[str, ...]

    def is_this(self, scan: Scan) -> bool:
        text = " ".join(scan.statement.split())
        return scan.table in self.tables and all(piece in text for piece in self.pieces)


def _may(reason: str, tables: str, *pieces: str) -> Exempt:
    return Exempt(reason, frozenset(tables.split()), pieces)


_EVERY_WALLET = "every wallet counts in it, and there is one a family"

WHOLE: tuple[Exempt, ...] = (
    _may("how many rows a list has, up to ten thousand", "wallet_adjustments withdrawals reconcile_differences",
         "SELECT count(*) AS count_1 FROM (SELECT", "LIMIT"),
    _may(_EVERY_WALLET, "wallets", "sum(CASE WHEN (wallets.balance <"),
    _may(_EVERY_WALLET, "wallets", "coalesce(sum(wallets.balance)", "FROM wallets"),
    _may(_EVERY_WALLET, "wallets wallet_transactions", "SELECT wallet_id, MAX(seq) FROM wallet_transactions GROUP BY"),
    _may(_EVERY_WALLET, "wallets", "SELECT id, version, CAST(balance * 100 AS SIGNED), head_hash FROM wallets"),
    _may("what is prepaid is all that was paid and not held yet", "bookings payment_transactions refunds",
         "coalesce(sum(", "bookings.price - (SELECT coalesce(sum(refunds.amount)"),
    _may("which of all families have gone quiet", "wallets bookings families",
         "families.id NOT IN (SELECT bookings.family_id FROM course_schedules"),
    _may("each night every family is looked at, a hundred at a time",
         "bookings payment_orders user_sessions users waitlist_entries wallets",
         "families.erased_at IS NULL", "families.id > "),
    _may("the report may ask for all that is kept of it, half a year", "makeup_failures",
         "makeup_failures.failed_at >="),
    _may("offers are forgotten after three months, and the report shows eight weeks: whole costs no more than by index",
         "waitlist_offers", "waitlist_offers.offered_at >=", "waitlist_offers.offered_at <"),
)  # fmt: skip

#: jobs that look at all there is, and why
WHOLE_JOBS: dict[str, str] = {
    "reconcile_books": "every document and movement against each other, each night",
    "money_health_full": "all of the money, each night",
    "money_health": "what does not add up is looked at in full until it does, and the copies' money never does",
    "ledger_verify": "every row of the ledger, each night",
}
