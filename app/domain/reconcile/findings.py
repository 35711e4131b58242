"""What a comparison found, as plain data: the kinds of differences, and the digest by which a changed one is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from app import money
from app.column_types import canonical_json


class Source(StrEnum):
    BILL = "bill"
    BOOKS = "books"


class Kind(StrEnum):
    #: in WeChat's bill and not here, here and not in the bill, and in both with other figures
    PAYMENT_MISSING_HERE = "payment_missing_here"
    PAYMENT_MISSING_THERE = "payment_missing_there"
    PAYMENT_AMOUNT = "payment_amount"
    PAYMENT_ORDER = "payment_order"
    REFUND_MISSING_HERE = "refund_missing_here"
    REFUND_MISSING_THERE = "refund_missing_there"
    REFUND_AMOUNT = "refund_amount"
    REFUND_STATUS = "refund_status"
    TWICE_IN_BILL = "twice_in_bill"
    #: a document without exactly its movements
    ADJUSTMENT = "adjustment"
    WITHDRAWAL = "withdrawal"
    REFUND = "refund"
    BOOKING_DEBIT = "booking_debit"
    BOOKING_REFUND = "booking_refund"
    #: a movement that no document names
    NO_CAUSE = "no_cause"
    #: what `flask ledger verify` says
    LEDGER = "ledger"


#: those of WeChat's bill
BILL_KINDS = tuple(Kind)[:9]

#: longest key and number, as the columns have them
KEY_LENGTH, TEXT_LENGTH = 96, 200


@dataclass(frozen=True, slots=True)
class Found:
    """One difference as it is now. Amounts are signed yuan."""

    day: date
    kind: Kind
    key: str
    expected: str
    found: str
    expected_amount: Decimal | None = None
    found_amount: Decimal | None = None
    family_id: int | None = None
    target_type: str | None = None
    target_id: str | None = None

    @property
    def digest(self) -> str:
        """Of the figures; whose they are and where to look does not count."""
        amounts = [None if one is None else money.plain(one) for one in (self.expected_amount, self.found_amount)]
        figures = [self.expected, self.found, *amounts]
        return hashlib.sha256(canonical_json(figures).encode()).hexdigest()


def as_key(text: str) -> str:
    """Somebody else's number as a key of ours: as it is, or its digest where it fits no column."""
    if text.isascii() and text.isprintable() and 0 < len(text) <= KEY_LENGTH and not text.startswith("sha:"):
        return text
    return "sha:" + hashlib.sha256(text.encode()).hexdigest()


def as_amount(value: Decimal) -> Decimal | None:
    """Somebody else's amount as a column of ours holds it; None where it does not fit."""
    if abs(value) > money.MAX_AMOUNT or value != money.rounded(value):
        return None
    return money.rounded(value)
