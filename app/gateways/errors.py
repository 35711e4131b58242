"""What can go wrong outside, typed by what the caller may conclude from it."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    TEMPORARY = "temporary"  # nothing happened over there; the same call may be made again later
    PERMANENT = "permanent"  # refused for a reason that another try will not change
    UNKNOWN_OUTCOME = "unknown_outcome"  # it was sent and no answer came: it may have happened


class GatewayError(Exception):
    """A call to an outside system failed.

    `code` is short and stable (`timeout`, `http_502`, or the provider's own such as `43101`), `detail` the
    provider's words, cut; `retry_after` whole seconds where the provider wants a pause. Carries neither request
    nor response: their addresses hold tokens and secrets.
    """

    kind = Kind.PERMANENT

    def __init__(self, label: str, code: str, detail: str = "", *, retry_after: int | None = None):
        self.label = label
        self.code = code
        self.detail = detail[:300]
        self.retry_after = retry_after
        super().__init__(f"{label}: {code} {self.detail}".rstrip())


class Temporary(GatewayError):
    kind = Kind.TEMPORARY


class Permanent(GatewayError):
    kind = Kind.PERMANENT


class UnknownOutcome(GatewayError):
    kind = Kind.UNKNOWN_OUTCOME


class RateLimited(Temporary):
    """The provider asks for a pause; `retry_after` says how long."""

    def __init__(self, label: str, code: str, detail: str = "", *, retry_after: int = 60):
        super().__init__(label, code, detail, retry_after=retry_after)
