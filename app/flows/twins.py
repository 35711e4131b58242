"""Use cases of which a twin may commit first: the same callback twice, the same payment by callback and by question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError

T = TypeVar("T")


def past_a_twin(use_case: Callable[..., T], **asked: Any) -> T:
    """Do it; where a twin wrote the same row first, do it again: now the twin's work is seen, and nothing is left to
    do. Only for use cases that look for a repetition themselves."""
    try:
        return use_case(**asked)
    except IntegrityError:
        return use_case(**asked)
