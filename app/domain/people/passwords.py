"""Passwords of staff: argon2id with a cap on how many are hashed at once, and what makes one acceptable (P7)."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from app import guards
from app.errors import Invalid, Unavailable

MIN_LENGTH = 10
MAX_LENGTH = 128  # a longer one only makes the hash slow

# 64 MiB and two passes: about 100 ms on a small server, some million times a plain hash.
_hasher = PasswordHasher(time_cost=2, memory_cost=64 * 1024, parallelism=1)
# Each hash takes 64 MiB and a core: a flood of sign-ins must not take the desk down with it.
_slots = BoundedSemaphore(4)
_WAIT_SECONDS = 5

#: no letters or digits that look alike on paper
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
#: what people choose when a rule asks for ten characters, and the first words a guesser would try here
_COMMON = (
    "1234567890", "0123456789", "0987654321", "qwertyuiop", "1q2w3e4r5t", "password", "iloveyou", "woaini",
    "abcdefghij", "asdfghjkl", "baishi", "admin", "letmein", "welcome", "gymnastics",
)  # fmt: skip


@contextmanager
def _slot():
    guards.refuse_in_transaction("a password hash")
    if not _slots.acquire(timeout=_WAIT_SECONDS):
        raise Unavailable("登录的人太多，请稍后再试", retry_after=2)
    try:
        yield
    finally:
        _slots.release()


def hash_password(plain: str) -> str:
    """The argon2id hash. Raises Unavailable when too many are hashed at once."""
    with _slot():
        return _hasher.hash(plain)


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe(16))


def verify(kept: str | None, plain: str) -> bool:
    """Whether the password is right; None (no such account) takes as long and is wrong. Raises Unavailable."""
    plain = plain[: MAX_LENGTH + 1]
    with _slot():
        try:
            right = _hasher.verify(kept or _nobody(), plain)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False
    return right and kept is not None


def needs_rehash(kept: str) -> bool:
    """Whether this hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def check(plain: str, *, username: str) -> None:
    """Raises Invalid (field `password`) for a password that is too short, too long, the username, or a common one."""
    if len(plain) < MIN_LENGTH:
        raise Invalid.field("password", f"密码至少 {MIN_LENGTH} 个字符")
    if len(plain) > MAX_LENGTH:
        raise Invalid.field("password", f"密码最多 {MAX_LENGTH} 个字符")
    folded = plain.casefold()
    if username.casefold() in folded:
        raise Invalid.field("password", "密码不能包含用户名")
    rest = folded
    for word in _COMMON:
        rest = rest.replace(word, "")
    if len(set(folded)) < 5 or len(rest) < 4:
        raise Invalid.field("password", "这个密码太容易被猜到，请换一个")


def temporary() -> str:
    """A random password to be told once and changed at the first sign-in: 16 characters, 79 bits."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
    return "-".join(groups)
