"""The control page, and the JSON endpoints by which tests set the scene and look at what happened."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template, request

from . import pay_callbacks
from .feishu import GROUPS
from .pay_state import refund_answer, trade
from .state import SandboxState
from .templates_catalog import ID_BY_TYPE, TYPE_BY_ID

bp = Blueprint("control", __name__)
#: of each list on the page, the newest
ROWS = 15
_NUMBER = re.compile(r"(/(?:out-trade-no|id|refunds)/)[^/]+")


class BadOrder(ValueError):
    """A control call that makes no sense; the text says why."""


def state() -> SandboxState:
    return current_app.extensions["sandbox"]


@bp.errorhandler(ValueError)
def _bad(error: ValueError) -> tuple[Response, int]:
    return jsonify(error="BAD_CONTROL", message=str(error)), 400


def _order() -> dict[str, Any]:
    # Asking for a JSON content type also keeps foreign web pages out: a browser must ask before it sends one.
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise BadOrder("需要 JSON 对象（Content-Type: application/json）")
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadOrder(f"缺少 {name}")
    return value


def template_id(name: str) -> str:
    """A template by its id or by its type."""
    found = name if name in TYPE_BY_ID else ID_BY_TYPE.get(name)
    if found is None:
        raise BadOrder(f"没有模板 {name}")
    return found


@bp.get("/")
def index() -> str:
    return render_template("control.html", app_url=current_app.config["APP_URL"], **_overview())


def _overview() -> dict[str, Any]:
    now = state()
    with now.lock:
        return {
            "faults": {name: fault.as_dict() for name, fault in now.faults.all().items()},
            "counts": _by_call(now.call_counts),
            "last": list(now.last_calls)[-ROWS:][::-1],
            "messages": len(now.messages),
            "cards": len(now.cards),
            "groups": GROUPS,
            "pay": {
                "orders": list(now.pay.orders.values())[-ROWS:][::-1],
                "refunds": list(now.pay.refunds.values())[-ROWS:][::-1],
                "callbacks": now.pay.callbacks[-ROWS:][::-1],
            },
        }


def _by_call(counts: dict[str, int]) -> dict[str, int]:
    """Payments carry their number in the path: one call of the page's list, whatever the number."""
    found: Counter[str] = Counter()
    for name, count in counts.items():
        found[_NUMBER.sub(r"\1…", name)] += count
    return dict(sorted(found.items()))


@bp.get("/_control/faults")
def show_faults() -> Response:
    return jsonify({name: fault.as_dict() for name, fault in state().faults.all().items()})


@bp.post("/_control/faults")
def set_faults() -> Response:
    """`{"system": "wechat", "slow": 2, …}` changes one system; `"token_expired": true` acts at once."""
    body = _order()
    system = _text(body, "system")
    changes = {name: value for name, value in body.items() if name not in ("system", "token_expired")}
    fault = state().faults.set(system, **changes)
    if body.get("token_expired"):
        if system != "wechat":
            raise BadOrder("只有 wechat 有 access_token")
        state().expire_tokens()
    return jsonify({system: fault.as_dict()})


@bp.delete("/_control/faults")
def clear_faults() -> Response:
    state().faults.clear()
    return show_faults()


@bp.post("/_control/reset")
def reset() -> Response:
    state().reset()
    return jsonify(ok=True)


@bp.post("/_control/advance")
def advance() -> Response:
    """Move the sandbox's clock, so that codes and tokens grow old."""
    seconds = _order().get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise BadOrder("seconds 是一个数")
    state().advance(seconds)
    return jsonify(now=state().now())


@bp.get("/_control/messages")
def messages() -> Response:
    return jsonify(items=state().messages_of(request.args.get("openid")))


@bp.get("/_control/cards")
def cards() -> Response:
    return jsonify(items=state().cards_of(request.args.get("group")))


@bp.post("/_control/code")
def login_code() -> Response:
    return jsonify(code=state().new_code("login", _text(_order(), "openid")))


@bp.post("/_control/phone_code")
def phone_code() -> Response:
    body = _order()
    return jsonify(code=state().new_code("phone", _text(body, "openid"), phone=_text(body, "phone")))


@bp.post("/_control/consent")
def consent() -> Response:
    body = _order()
    count = body.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise BadOrder("count 是不小于 0 的整数")
    template = template_id(_text(body, "template_id"))
    state().set_consent(_text(body, "openid"), template, count)
    return jsonify(template_id=template, count=count)


@bp.get("/_control/consent")
def consents() -> Response:
    return jsonify(state().consents_of(request.args.get("openid", "")))


@bp.get("/_control/pay")
def payments() -> Response:
    """Orders, refunds and callbacks of the payment stand-in."""
    pay = state().pay
    with pay.lock:
        return jsonify(
            orders=[trade(one) | {"time_expire": one.time_expire} for one in pay.orders.values()],
            refunds=[refund_answer(one) for one in pay.refunds.values()],
            callbacks=list(pay.callbacks),
        )


@bp.post("/_control/pay/scan")
def scan() -> Response:
    """Somebody scans a QR code and pays: `{"code_url": …, "openid": …}`."""
    body = _order()
    code_url = _text(body, "code_url")
    pay = state().pay
    with pay.lock:
        order = next((one for one in pay.orders.values() if one.code_url == code_url), None)
    if order is None:
        raise BadOrder("二维码已失效")
    refusal = pay.pay(order, _text(body, "openid"), time.time())
    if not refusal:
        pay_callbacks.tell_paid(state(), order)
    return jsonify(paid=not refusal, reason=refusal)


@bp.get("/_control/calls")
def calls() -> Response:
    with state().lock:
        counts = dict(state().call_counts)
    return jsonify(counts=counts, last=state().calls(request.args.get("path")))
