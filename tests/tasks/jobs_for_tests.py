"""Entry points for the tests of the scheduler."""

from __future__ import annotations


def count() -> str:
    return "数了 1"


def fail() -> str:
    raise ZeroDivisionError("nobody")
