"""Who does something: a person at the desk, a parent, or the system itself. Always passed, never ambient."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ActorType(StrEnum):
    STAFF = "staff"
    PARENT = "parent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Carried by every use case; its fields go into the audit row (R7)."""

    type: str
    id: int | None
    name: str
    role: str | None = None  # a staff member's role
    family_id: int | None = None  # a parent's family, or the family that a staff member belongs to
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    #: seconds since this person last proved who they are (P9); None when never in this session
    proof_age: float | None = None


def system(name: str) -> Actor:
    """A worker, the scheduler or a command; `name` says which."""
    return Actor(type=ActorType.SYSTEM, id=None, name=name)
