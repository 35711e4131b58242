"""WeChat Pay's callbacks. The status is the answer: 2xx only after COMMIT, anything else and WeChat asks again (O9)."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import DomainError
from app.flows import callbacks
from app.flows.callbacks import CallbackRefused

log = logging.getLogger("desk.callbacks")
bp = Blueprint("wxpay_callbacks", __name__, url_prefix="/payment/wxpay")

MAX_BODY = 64 * 1024
_SENTENCES = {401: "验签失败", 400: "内容无法识别", 413: "内容过大"}


@bp.post("/callback")
@bp.post("/refund-callback", endpoint="refund")
def take() -> tuple[Response, int]:
    """Both addresses take both kinds: what it is about is said inside (96.46)."""
    try:
        callbacks.receive(request.headers, _body())
    except CallbackRefused as refusal:
        return _refused(refusal.status, _SENTENCES[refusal.status])
    except RequestEntityTooLarge:
        return _refused(413, _SENTENCES[413])
    except DomainError as error:
        log.warning("callback not settled", extra={"error_code": error.code})
        return _refused(503, "暂时无法处理")
    except Exception:
        log.exception("callback failed")
        return _refused(500, "处理失败")
    return jsonify(code="SUCCESS", message="成功"), 200


def _body() -> bytes:
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise RequestEntityTooLarge
    # One byte more than is allowed: a stream without a length is cut at its bound without a word.
    request.max_content_length = MAX_BODY + 1
    body = request.get_data(cache=False)
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge
    return body


def _refused(status: int, message: str) -> tuple[Response, int]:
    return jsonify(code="FAIL", message=message), status
