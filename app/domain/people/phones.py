"""How a phone number is kept: encrypted, with keyed indexes of the whole number and of its last four (S11)."""

from __future__ import annotations

from app.domain.people.models import User
from app.vault import blind_index, phone_digits


def whole_index(number: str) -> str:
    """The blind index by which a whole number is found and kept unique."""
    return blind_index(phone_digits(number), "phone")


def tail_index(last_four: str) -> str:
    """The blind index of the last four digits."""
    return blind_index(last_four, "phone_tail")


def assign(user: User, number: str) -> None:
    """Give a user this number; the caller flushes and meets the unique index."""
    digits = phone_digits(number)
    user.phone = digits
    user.phone_index = whole_index(digits)
    user.phone_tail = tail_index(digits[-4:])
