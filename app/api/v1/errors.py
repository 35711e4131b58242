"""Every failure under /api/v1 as the envelope: stable code, Chinese sentence, request id, no detail (90, 96.82)."""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import Any

from flask import Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from app import ids
from app.db import is_away, is_transient
from app.errors import Busy, DomainError, Invalid, Kind, Unavailable

log = logging.getLogger("desk.api")

STATUS: dict[str, int] = {
    Kind.INVALID: 422,
    Kind.NOT_FOUND: 404,
    Kind.FORBIDDEN: 403,
    Kind.UNAUTHENTICATED: 401,
    Kind.CONFLICT: 409,
    Kind.LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
SUCCESS = "操作成功"
MAX_BODY = 64 * 1024
# A statement that ran past its bound: MariaDB 1969, MySQL 3024.
_STATEMENT_TIMEOUTS = {1969, 3024}


class BadRequest(DomainError):
    """The request's form is wrong in a way that has its own status (400, 413)."""

    kind = Kind.INVALID

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message, code=code)
        self.status = status


def body_too_large() -> BadRequest:
    return BadRequest(413, "BODY_TOO_LARGE", f"请求内容超过 {MAX_BODY // 1024} KB")


# Made once: json.dumps with options makes an encoder for each answer.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def envelope(status: int, message: str, data: Any, *, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """The one shape of every answer."""
    body = {"code": status, "message": message, "data": data, **more, "request_id": ids.request_id()}
    plain = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(_encode(body), status, plain | headers if headers else plain)


def refused(error: DomainError) -> Response:
    """A refusal by a rule, a wrong field, a missing sign-in."""
    status = getattr(error, "status", None) or STATUS[error.kind]
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    more: dict[str, Any] = {"error": error.code}
    if error.errors:
        more["errors"] = error.errors
    return envelope(status, error.message, error.data, headers=headers, **more)


def http_error(error: HTTPException) -> Response:
    """What Flask itself refuses: unknown path, wrong method, too large a body."""
    if isinstance(error, RequestEntityTooLarge):
        return refused(body_too_large())
    if error.code == 404:
        return envelope(404, "没有这个接口", None, error="NOT_FOUND")
    if error.code == 405:
        methods = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return envelope(
            405, f"这个接口不支持 {request.method} 方法", None, error="METHOD_NOT_ALLOWED", headers={"Allow": methods}
        )
    if error.code is None or error.code >= 500 or error.code < 400:
        return failed(error)
    return envelope(error.code, "请求有误", None, error="BAD_REQUEST")


def database_error(error: DBAPIError | PoolTimeout) -> Response:
    """Contention that outlasted every retry, or a database that is away: try again, nothing was done (96.80)."""
    if isinstance(error, PoolTimeout):
        log.warning("no database connection was free")
        return refused(Busy())
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if is_away(error) or (isinstance(error.orig, sqlite3.OperationalError) and "unable to open" in str(error.orig)):
        log.warning("database away", extra={"error_code": code})
        return refused(Unavailable(retry_after=5))
    if is_transient(error) or code in _STATEMENT_TIMEOUTS:
        log.warning("database busy", extra={"error_code": code})
        return refused(Busy())
    return failed(error)


def failed(error: BaseException) -> Response:
    """What nobody foresaw (96.82). The log has the whole story under the same request id."""
    log.error("unhandled error", exc_info=error, extra={"path": request.path})
    return envelope(500, "服务器内部错误，请稍后再试；如多次出现，请把请求编号告诉我们", None, error="INTERNAL_ERROR")


def wrong_fields(errors: dict[str, list[str]]) -> Invalid:
    return Invalid(next(iter(errors.values()))[0] if len(errors) == 1 else None, errors=errors)
