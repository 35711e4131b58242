"""Money is Decimal yuan with two places (R1). Parsing, fen, rounding and the studio's way to write it."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from app.errors import Invalid

CENT = Decimal("0.01")
ZERO = Decimal("0.00")
MAX_AMOUNT = Decimal("99999999.99")

# ASCII digits only: Decimal itself would take full-width digits, exponents, NaN and spaces (96.17).
_AMOUNT = re.compile(r"[0-9]{1,8}(\.[0-9]{1,2})?", re.ASCII)


def parse(text: object, *, name: str = "amount") -> Decimal:
    """A positive or zero amount from text such as `500` or `500.00`.

    Raises Invalid naming the field for signs, separators, exponents, full-width digits, spaces, more than two
    places, NaN, or more than 99,999,999.99.
    """
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise Invalid.field(name, "金额只能是不超过两位小数的数字，如 500.00，最大 99999999.99")
    return Decimal(text).quantize(CENT)


def in_range(value: Decimal) -> bool:
    """Whether a balance fits DECIMAL(10,2) (R1, W30)."""
    return -MAX_AMOUNT <= value <= MAX_AMOUNT


def rounded(value: Decimal) -> Decimal:
    """Half up to the fen, once, at the end of a computation (R1)."""
    return value.quantize(CENT, rounding=ROUND_HALF_UP)


def to_fen(value: Decimal) -> int:
    """Whole fen; raises ValueError for a fraction of a fen, NaN or infinity."""
    fen = value * 100
    if not value.is_finite() or fen != fen.to_integral_value():
        raise ValueError(f"not a whole number of fen: {value}")
    return int(fen)


def from_fen(fen: int) -> Decimal:
    return Decimal(fen).scaleb(-2)


def plain(value: Decimal) -> str:
    """As the JSON contract writes it: `-200.00`."""
    return f"{value:.2f}"


def yuan(value: Decimal) -> str:
    """As the texts of the contract write it: `¥-500.00`."""
    return f"¥{value:.2f}"
