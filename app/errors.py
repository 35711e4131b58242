"""What the domain says when it refuses: a stable code, a Chinese sentence, fields and figures. No HTTP here.

The edges map `kind` to a status (api/v1/errors.py, web/errors.py). Codes are part of the JSON contract and
never change once published.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The families of refusals; each edge gives every family one status."""

    INVALID = "invalid"  # 422: a field is wrong
    NOT_FOUND = "not_found"  # 404: does not exist, or belongs to someone else
    FORBIDDEN = "forbidden"  # 403: this person may not
    UNAUTHENTICATED = "unauthenticated"  # 401: sign in (again)
    CONFLICT = "conflict"  # 409: a rule refuses in the present state
    LIMITED = "limited"  # 429: too many
    UNAVAILABLE = "unavailable"  # 503: try again


class DomainError(Exception):
    """A refusal. `code` is stable, `message` is for people, `data` carries figures, `errors` the fields."""

    kind = Kind.CONFLICT
    code = "REFUSED"
    message = "操作未被接受"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        data: dict[str, Any] | None = None,
        errors: dict[str, list[str]] | None = None,
        retry_after: int | None = None,
    ):
        self.code = code or self.code
        self.message = message or self.message
        self.data = data
        self.errors = errors
        self.retry_after = retry_after
        super().__init__(f"{self.code}: {self.message}")


class Invalid(DomainError):
    """One or more fields are wrong; `errors` names them."""

    kind = Kind.INVALID
    code = "VALIDATION_FAILED"
    message = "提交的内容有误，请检查标出的字段"

    @classmethod
    def field(cls, name: str, sentence: str, **kwargs: Any) -> Invalid:
        return cls(sentence, errors={name: [sentence]}, **kwargs)


class NotFound(DomainError):
    kind = Kind.NOT_FOUND
    code = "NOT_FOUND"
    message = "没有找到"


class Forbidden(DomainError):
    kind = Kind.FORBIDDEN
    code = "FORBIDDEN"
    message = "您没有这项权限"


class StepUpRequired(DomainError):
    """Money and power ask for the password or TOTP again (P9)."""

    kind = Kind.FORBIDDEN
    code = "STEP_UP_REQUIRED"
    message = "请再次验证身份后继续"


class Unauthenticated(DomainError):
    kind = Kind.UNAUTHENTICATED
    code = "UNAUTHENTICATED"
    message = "请先登录"


class Conflict(DomainError):
    kind = Kind.CONFLICT
    code = "CONFLICT"


class InvalidState(Conflict):
    code = "INVALID_STATE"
    message = "当前状态不能进行这项操作"


class TooMany(DomainError):
    kind = Kind.LIMITED
    code = "RATE_LIMITED"
    message = "操作过于频繁，请稍后再试"


class Unavailable(DomainError):
    kind = Kind.UNAVAILABLE
    code = "UNAVAILABLE"
    message = "服务暂时不可用，请稍后再试"


class Busy(Unavailable):
    """Every retry of a transaction met contention (R6, 96.80)."""

    code = "BUSY_TRY_AGAIN"
    message = "系统繁忙，操作没有完成，请稍后再试"

    def __init__(self, message: str | None = None, **kwargs: Any):
        super().__init__(message, retry_after=kwargs.pop("retry_after", 1), **kwargs)


class OutcomeUnknown(Unavailable):
    """The connection was lost while COMMIT was on its way and no key can settle it (Z4)."""

    code = "OUTCOME_UNKNOWN"
    message = "连接中断，无法确认操作是否完成，请先核对再重试"


class IdempotencyKeyReused(DomainError):
    kind = Kind.INVALID
    code = "IDEMPOTENCY_KEY_REUSED"
    message = "同一个幂等键已用于另一个请求"


class Replayed(Exception):
    """This request was already done under its key. `answer` is what was kept with it."""

    def __init__(self, answer: dict[str, Any]):
        self.answer = answer
        super().__init__("request replayed")
