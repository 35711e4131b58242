"""A parent's phone: the pages that stand in for the mini program, and what WeChat itself does on a phone.

WeChat's part (a sign-in code, the phone number button, the question whether to accept messages, the chat of
service messages) is here; what the mini program does by the app's API is in `static/phone/` and goes through
`proxy`.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Blueprint, Response, abort, current_app, jsonify, redirect, render_template, request, url_for

from . import pay_callbacks
from .pay_state import PayOrder
from .state import SandboxState
from .templates_catalog import TEMPLATES, TYPE_BY_ID

bp = Blueprint("phone", __name__, url_prefix="/phone")
PHONE_NUMBER = re.compile(r"1\d{10}")
MESSAGES_SHOWN = 100


def state() -> SandboxState:
    return current_app.extensions["sandbox"]


def _known(openid: str) -> str:
    if openid not in state().parents:
        abort(404, "没有这位家长")
    return openid


def _order() -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        abort(415, "需要 JSON")
    return body


@bp.get("")
def choose() -> str:
    return render_template("phones.html", parents=list(state().parents.values()))


@bp.get("/parents")
def parents() -> Response:
    return jsonify(items=[{"openid": p.openid, "name": p.name} for p in state().parents.values()])


@bp.post("/parents")
def new_parent() -> Any:
    """A plain form: somebody who has never opened the mini program."""
    name = " ".join(request.form.get("name", "").split())[:32]
    return redirect(url_for(".show", openid=state().new_parent(name).openid), 303)


@bp.get("/<openid>")
def show(openid: str) -> str:
    parent = state().parents[_known(openid)]
    return render_template("phone.html", parent=parent, parents=list(state().parents.values()))


@bp.post("/<openid>/code")
def code(openid: str) -> Response:
    """What `wx.login` gives the mini program."""
    return jsonify(code=state().new_code("login", _known(openid)))


@bp.post("/<openid>/phone-code")
def phone_code(openid: str) -> Response:
    """What the phone number button gives the mini program."""
    phone = str(_order().get("phone", ""))
    if not PHONE_NUMBER.fullmatch(phone):
        abort(422, "手机号是 1 开头的 11 位数字")
    return jsonify(code=state().new_code("phone", _known(openid), phone=phone))


@bp.get("/<openid>/templates")
def templates(openid: str) -> Response:
    left = state().consents_of(_known(openid))
    items = [{"template_id": t.id, "type": t.type, "title": t.title, "remaining": left[t.id]} for t in TEMPLATES]
    return jsonify(items=items)


@bp.post("/<openid>/consent")
def consent(openid: str) -> Response:
    """The answer to `wx.requestSubscribeMessage`: one 允许 lets the app send one message."""
    body = _order()
    template = body.get("template_id")
    if template not in TYPE_BY_ID:
        abort(422, "没有这个模板")
    accepted = body.get("accept") is True
    left = state().grant(_known(openid), template, 1 if accepted else 0)
    return jsonify(template_id=template, result="accept" if accepted else "reject", remaining=left)


@bp.post("/<openid>/pay")
def pay(openid: str) -> Response:
    """WeChat's pay sheet: what `wx.requestPayment` was given, and what the person does.

    `action` is `pay`, or `pay_late`: the bank takes so long that the money arrives after the last moment to pay, or
    after the seconds of the switch `late_after`. What WeChat itself would refuse comes back as `requestPayment:fail`
    with its sentence.
    """
    _known(openid)
    body, now = _order(), state()
    order = _order_of(now, body)
    if order is None:
        return jsonify(errMsg="requestPayment:fail", reason="支付签名验证失败")
    if order.openid != openid:
        return jsonify(errMsg="requestPayment:fail", reason="下单账号与支付账号不一致")
    if body.get("action") == "pay_late":
        _pay_later(now, order, openid)
        return jsonify(errMsg="requestPayment:fail", reason="支付处理中")
    refusal = now.pay.pay(order, openid, time.time())
    if refusal:
        return jsonify(errMsg="requestPayment:fail", reason=refusal)
    pay_callbacks.tell_paid(now, order)
    return jsonify(errMsg="requestPayment:ok")


def _order_of(now: SandboxState, body: dict[str, Any]) -> PayOrder | None:
    """The order that the parameters are for, if the merchant signed exactly these."""
    names = ("appId", "timeStamp", "nonceStr", "package", "paySign")
    if body.get("signType") != "RSA" or not all(isinstance(body.get(name), str) for name in names):
        return None
    text = "".join(f"{body[name]}\n" for name in names[:4])
    try:
        signature = base64.b64decode(body["paySign"], validate=True)
        now.pay.account.merchant_public.verify(signature, text.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError, AttributeError):
        return None
    prepay_id = body["package"].removeprefix("prepay_id=")
    with now.pay.lock:
        return next((one for one in now.pay.orders.values() if one.prepay_id == prepay_id), None)


def _pay_later(now: SandboxState, order: PayOrder, openid: str) -> None:
    order.under_way = True

    def arrive() -> None:
        if not now.pay.pay(order, openid, time.time()):
            pay_callbacks.tell_paid(now, order)

    delay = now.faults.all()["wxpay"].late_after or max(0.0, order.time_expire - time.time()) + 2
    timer = threading.Timer(delay, arrive)
    timer.daemon = True
    timer.start()


@bp.get("/<openid>/messages")
def messages(openid: str) -> Response:
    """The service messages in WeChat's chat list, or 204 when nothing is new since `rev`."""
    now = state()
    with now.lock:
        if request.args.get("rev") == str(now.revision):
            return Response(status=204)
        items = now.messages_of(_known(openid))[-MESSAGES_SHOWN:]
        return jsonify(rev=now.revision, items=items)
