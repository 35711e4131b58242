"""JSON for the mini program under /api/v1, and its readable document at /api/docs."""

from __future__ import annotations

from flask import Flask, Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import BaseConverter

from app.api import v1
from app.api.v1 import docs, errors
from app.errors import DomainError


class IdConverter(BaseConverter):
    """An id in a path. What cannot be one is 404 by not matching (96.16): 0, 01, 1.5, 20 digits, other scripts."""

    regex = "[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        return int(value)


class NumberConverter(BaseConverter):
    """An order's public number in a path; whether there is such an order is the handler's to say."""

    regex = "[0-9A-Za-z_-]{1,64}"


def init_app(app: Flask) -> None:
    app.url_map.converters["id"] = IdConverter
    app.url_map.converters["number"] = NumberConverter
    blueprint = v1.build()
    blueprint.register_error_handler(DomainError, errors.refused)
    blueprint.register_error_handler(HTTPException, errors.http_error)
    blueprint.register_error_handler(DBAPIError, errors.database_error)
    blueprint.register_error_handler(PoolTimeout, errors.database_error)
    blueprint.register_error_handler(Exception, errors.failed)
    app.before_request(_answer_unknown)
    app.register_blueprint(blueprint)
    app.register_blueprint(docs.bp)


def _answer_unknown() -> Response | None:
    """Unknown paths and methods under /api/v1 in the envelope (96.18): no blueprint owns them, so none is asked."""
    if request.routing_exception is None or not f"{request.path}/".startswith("/api/v1/"):
        return None
    error = request.routing_exception
    return errors.http_error(error if error.code in (404, 405) else NotFound())
