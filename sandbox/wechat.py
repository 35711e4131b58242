"""WeChat's server API of a mini program: sign-in, access token, subscribe messages, phone number.

As at WeChat, errors come as HTTP 200 with `errcode` and an `errmsg` that ends in a request id.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from .bodies import json_object
from .faults import Fault
from .state import Refused, SandboxState, session_key
from .templates_catalog import TEMPLATE_BY_ID, TEMPLATES
from .wechat_fields import complaint, page_exists

bp = Blueprint("wechat", __name__)

QUOTA = (45009, "reach max api daily quota limit")
MINUTE_QUOTA = (45011, "api minute-quota reach limit  mustslower  retry next minute")
STATES = ("developer", "trial", "formal")
LANGUAGES = ("zh_CN", "zh_HK", "zh_TW", "en_US")


def state() -> SandboxState:
    return current_app.extensions["sandbox"]


def refuse(errcode: int, errmsg: str) -> Response:
    rid = f"{int(time.time()):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
    comma = "," if errcode in (40029, 40163, 40013, 40125) else ""
    return jsonify(errcode=errcode, errmsg=f"{errmsg}{comma} rid: {rid}")


@bp.errorhandler(Refused)
def _refused(error: Refused) -> Response:
    return refuse(error.errcode, error.errmsg)


@bp.before_request
def _meet_faults() -> None:
    """The faults that WeChat's gateway shows in each of its calls, before the call itself is looked at."""
    fault = _fault()
    if fault.busy:
        raise Refused(-1, "system error")
    if fault.rate_limited:
        raise Refused(*(MINUTE_QUOTA if request.path == "/sns/jscode2session" else QUOTA))


def _fault() -> Fault:
    return request.environ["sandbox.fault"]


def _json() -> dict[str, Any]:
    body = json_object(request.get_data())
    if body is None:
        raise Refused(47001, "data format error")
    return body


def _check_account(appid: Any, secret: Any) -> None:
    if not appid:
        raise Refused(41002, "appid missing")
    if not secret:
        raise Refused(41004, "appsecret missing")
    if appid != state().appid:
        raise Refused(40013, "invalid appid")
    if secret != state().secret:
        raise Refused(40125, "invalid appsecret")


def _check_token() -> None:
    if _fault().token_invalid:
        raise Refused(40001, "invalid credential, access_token is invalid or not latest")
    state().check_token(request.args.get("access_token", ""))


@bp.get("/sns/jscode2session")
def code2session() -> Response:
    _check_account(request.args.get("appid"), request.args.get("secret"))
    if request.args.get("grant_type") != "authorization_code":
        raise Refused(40002, "invalid grant_type")
    code = request.args.get("js_code", "")
    if not code:
        raise Refused(41008, "missing code")
    if _fault().risk:
        raise Refused(40226, "code blocked")
    openid = state().spend_code("login", code)["openid"]
    state().count_login(openid)
    return jsonify(openid=openid, session_key=session_key(openid), unionid=f"union-{openid}")


@bp.post("/cgi-bin/stable_token")
def stable_token() -> Response:
    body = _json()
    if body.get("grant_type") != "client_credential":
        raise Refused(40002, "invalid grant_type")
    _check_account(body.get("appid"), body.get("secret"))
    token, seconds = state().stable_token(force=body.get("force_refresh") is True)
    return jsonify(access_token=token, expires_in=seconds)


@bp.post("/cgi-bin/message/subscribe/send")
def send_subscribe_message() -> Response:
    """Check in WeChat's order and spend the consent last, so that a refused message costs none."""
    _check_token()
    body = _json()
    openid, template = body.get("touser"), TEMPLATE_BY_ID.get(str(body.get("template_id")))
    if not isinstance(openid, str) or openid not in state().parents:
        raise Refused(40003, "invalid openid")
    if template is None:
        raise Refused(40037, "invalid template_id")
    if body.get("miniprogram_state", "formal") not in STATES or body.get("lang", "zh_CN") not in LANGUAGES:
        raise Refused(40097, "invalid args")
    data = body.get("data")
    problem = complaint(template, data)
    if problem:
        raise Refused(47003, problem)
    page = body.get("page") or ""
    if not isinstance(page, str) or (page and not page_exists(page)):
        raise Refused(41030, "invalid page")
    if _fault().refuse:
        raise Refused(43101, "user refuse to accept the msg")
    values = {f.key: str(data[f.key]["value"]) for f in template.fields}
    msgid = state().deliver(
        {
            "openid": openid,
            "template_id": template.id,
            "type": template.type,
            "title": template.title,
            "page": page,
            "data": values,
            "fields": [{"key": f.key, "label": f.label, "value": values[f.key]} for f in template.fields],
        }
    )
    return jsonify(errcode=0, errmsg="ok", msgid=msgid)


@bp.post("/wxa/business/getuserphonenumber")
def phone_number() -> Response:
    _check_token()
    code = _json().get("code")
    if not isinstance(code, str) or not code:
        raise Refused(40029, "invalid code")
    phone = state().spend_code("phone", code)["phone"]
    watermark = {"timestamp": int(state().now()), "appid": state().appid}
    info = {"phoneNumber": phone, "purePhoneNumber": phone, "countryCode": "86", "watermark": watermark}
    return jsonify(errcode=0, errmsg="ok", phone_info=info)


@bp.post("/wxa/sec/order/upload_shipping_info")
def shipping_info() -> Response:
    """订单发货管理 of a payment that was made, once."""
    _check_token()
    body = _json()
    number = (body.get("order_key") or {}).get("transaction_id")
    with state().lock:
        order = next((one for one in state().pay.orders.values() if one.transaction_id == number), None)
        if order is None or not number:
            raise Refused(10060001, "支付单不存在")
        if (body.get("payer") or {}).get("openid") != order.payer or not body.get("shipping_list"):
            raise Refused(10060019, "参数错误")
        if order.shipped:
            raise Refused(10060003, "支付单已使用重新发货机会")
        order.shipped = True
    return jsonify(errcode=0, errmsg="ok")


@bp.get("/wxaapi/newtmpl/gettemplate")
def template_list() -> Response:
    _check_token()
    data = [
        {"priTmplId": t.id, "title": t.title, "content": t.content, "example": t.example, "type": 2} for t in TEMPLATES
    ]
    return jsonify(errcode=0, errmsg="ok", data=data)
