"""The phone page's way to the app: `/phone/api/…` is passed on to the app's `/api/v1/…`.

A mini program is not bound by the browser's same-origin rule, the page that stands in for one is. So its calls
go to the sandbox, which hands them on unchanged and brings the answer back unchanged.
"""

from __future__ import annotations

from urllib.parse import quote

import requests
from flask import Blueprint, Response, current_app, jsonify, request

bp = Blueprint("proxy", __name__)

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
SENT = ("Authorization", "Content-Type", "Idempotency-Key", "Accept", "If-None-Match")
RETURNED = ("Content-Type", "Retry-After", "ETag", "Cache-Control", "X-Request-ID")
TIMEOUT = (3, 15)  # seconds to connect, and for the answer
BODY_MOST = 1 << 20


@bp.route("/phone/api/<path:path>", methods=METHODS)
def forward(path: str) -> Response | tuple[Response, int]:
    if ".." in path.split("/"):
        return _failure(404, "NOT_FOUND", "没有这个地址")
    if (request.content_length or 0) > BODY_MOST:
        return _failure(413, "BODY_TOO_LARGE", "请求过大")
    url = f"{current_app.config['APP_URL']}/api/v1/{quote(path)}"
    headers = {name: request.headers[name] for name in SENT if name in request.headers}
    headers["User-Agent"] = "MicroMessenger sandbox"
    try:
        # A session per call: connections kept open would outlive a restart of the app during development.
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                request.method,
                url,
                params=request.query_string.decode("ascii", "replace"),
                data=request.get_data(),
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
    except requests.RequestException:
        return _failure(502, "APP_UNREACHABLE", "运营台没有应答，请确认它已经启动")
    kept = {name: answer.headers[name] for name in RETURNED if name in answer.headers}
    return Response(answer.content, status=answer.status_code, headers=kept)


def _failure(status: int, error: str, message: str) -> tuple[Response, int]:
    return jsonify(code=status, message=message, data=None, error=error, request_id=None), status
