"""What an unknown path or a wrong method answers: each system in its own words, pages as plain text."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from .faults import system_of
from .wechat import refuse


def register(app: Flask) -> None:
    app.register_error_handler(HTTPException, _answer)


def _answer(error: HTTPException) -> Response | tuple[Response, int]:
    if system_of(request.path) == "wechat":
        if error.code == 405:
            return refuse(43001, "require GET method") if request.method == "POST" else refuse(
                43002, "require POST method"
            )  # fmt: skip
        if error.code == 404:
            return refuse(40066, "invalid url")
    if request.path.startswith(("/_control/", "/phone/api/")) or request.is_json:
        return jsonify({"error": error.name, "message": error.description}), error.code or 500
    return error.get_response()
