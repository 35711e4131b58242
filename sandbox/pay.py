"""WeChat Pay API v3 of one merchant: orders, refunds, bills; answers are signed, requests have to be."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import threading
import time
from datetime import date, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Blueprint, Response, current_app, jsonify, request

from . import pay_callbacks
from .bodies import json_object
from .pay_state import SHANGHAI, PayAccount, PayOrder, PayRefund, PayRefused, refund_answer, trade
from .state import SandboxState

bp = Blueprint("wxpay", __name__, url_prefix="/v3")

_AUTH = re.compile(r'WECHATPAY2-SHA256-RSA2048 ((?:[a-z_]+="[^"]*",?){5})\Z')
_PAIR = re.compile(r'([a-z_]+)="([^"]*)"')
_NUMBER = re.compile(r"[0-9A-Za-z_\-|*]{6,32}\Z")
_REFUND_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}\Z")
_BILL_HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注\r\n"
)
_BILL_SUMMARY = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"


def state() -> SandboxState:
    return current_app.extensions["sandbox"]


def account() -> PayAccount:
    found = state().pay.account
    if found is None:
        raise PayRefused(500, "SYSTEM_ERROR", "沙箱没有商户密钥（--pay-keys）")
    return found


@bp.errorhandler(PayRefused)
def _refused(error: PayRefused) -> tuple[Response, int]:
    return jsonify(code=error.code, message=error.message), error.status


@bp.before_request
def _check() -> None:
    if request.environ["sandbox.fault"].rate_limited:
        raise PayRefused(429, "FREQUENCY_LIMITED", "频率限制")
    _check_signature()


def _check_signature() -> None:
    wrong = PayRefused(401, "SIGN_ERROR", "错误的签名，验签失败")
    found = _AUTH.fullmatch(request.headers.get("Authorization", ""))
    if found is None:
        raise wrong
    parts = dict(_PAIR.findall(found[1]))
    if set(parts) != {"mchid", "nonce_str", "signature", "timestamp", "serial_no"} or not parts["timestamp"].isdigit():
        raise wrong
    if parts["mchid"] != account().mchid or parts["serial_no"] != account().cert_serial:
        raise wrong
    if abs(int(parts["timestamp"]) - time.time()) > 300:
        raise PayRefused(401, "SIGN_ERROR", "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
    target = request.full_path if request.query_string else request.path
    text = f"{request.method}\n{target}\n{parts['timestamp']}\n{parts['nonce_str']}\n".encode()
    try:
        account().merchant_public.verify(
            base64.b64decode(parts["signature"]), text + request.get_data() + b"\n", PKCS1v15(), SHA256()
        )
    except (InvalidSignature, ValueError):
        raise wrong from None


@bp.after_request
def _sign(response: Response) -> Response:
    fault = request.environ["sandbox.fault"]
    # Whom it does not know it cannot give an answer under the key that they chose.
    unsigned = fault.unsigned or response.status_code == 401 or request.endpoint == "wxpay.download"
    if state().pay.account is not None and not unsigned:
        wrong = fault.wrong_signature
        for name, value in pay_callbacks.headers_for(account(), response.get_data(), wrong=wrong).items():
            response.headers[name] = value
    return response


# ── paying ──────────────────────────────────────────────────────────────────────────────────────────


@bp.post("/pay/transactions/jsapi")
def jsapi() -> Response:
    body = _order_body()
    openid = (body.get("payer") or {}).get("openid")
    if not isinstance(openid, str) or not openid:
        raise PayRefused(400, "PARAM_ERROR", "输入源“/body/payer/openid”映射到字段“用户标识”必填性规则校验失败")
    return jsonify(prepay_id=state().pay.place("JSAPI", body, time.time()).prepay_id)


@bp.post("/pay/transactions/native")
def native() -> Response:
    return jsonify(code_url=state().pay.place("NATIVE", _order_body(), time.time()).code_url)


def _order_body() -> dict[str, Any]:
    body = _json()
    for name in ("appid", "mchid", "description", "out_trade_no", "notify_url"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise PayRefused(400, "PARAM_ERROR", f"{name} 必填")
    if body["appid"] != state().appid or body["mchid"] != account().mchid:
        raise PayRefused(400, "APPID_MCHID_NOT_MATCH", "appid和mchid不匹配")
    if not _NUMBER.fullmatch(body["out_trade_no"]) or len(body["description"]) > 127:
        raise PayRefused(400, "PARAM_ERROR", "商户订单号或商品描述不合规则")
    if "?" in body["notify_url"] or len(body["notify_url"]) > 255:
        raise PayRefused(400, "PARAM_ERROR", "notify_url 不能携带参数")
    amount = body.get("amount")
    if not isinstance(amount, dict) or type(amount.get("total")) is not int or amount["total"] < 1:
        raise PayRefused(400, "PARAM_ERROR", "订单金额应为大于 0 的整数（分）")
    return body


@bp.get("/pay/transactions/out-trade-no/<number>")
def query(number: str) -> Response:
    _check_mchid()
    return jsonify(trade(state().pay.order(number)))


@bp.get("/pay/transactions/id/<transaction_id>")
def query_by_transaction(transaction_id: str) -> Response:
    _check_mchid()
    return jsonify(trade(state().pay.by_transaction(transaction_id)))


def _check_mchid() -> None:
    if request.args.get("mchid") != account().mchid:
        raise PayRefused(400, "PARAM_ERROR", "mchid 必填")


@bp.post("/pay/transactions/out-trade-no/<number>/close")
def close(number: str) -> Response:
    if _json().get("mchid") != account().mchid:
        raise PayRefused(400, "PARAM_ERROR", "mchid 必填")
    state().pay.close(number)
    return Response(status=204)


# ── refunds ─────────────────────────────────────────────────────────────────────────────────────────


@bp.post("/refund/domestic/refunds")
def refund() -> Response:
    body, fault = _json(), request.environ["sandbox.fault"]
    if not _REFUND_NUMBER.fullmatch(str(body.get("out_refund_no", ""))):
        raise PayRefused(400, "PARAM_ERROR", "商户退款单号不合规则")
    amount = body.get("amount")
    if not isinstance(amount, dict) or any(type(amount.get(name)) is not int for name in ("refund", "total")):
        raise PayRefused(400, "PARAM_ERROR", "退款金额应为整数（分）")
    switches = state().faults.all()["wxpay"]
    if fault.not_enough and body["out_refund_no"] not in state().pay.refunds:
        raise PayRefused(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
    made = state().pay.refund(body, time.time(), delay=switches.refund_delay, result=switches.refund_result)
    _end_later(state(), made)
    return jsonify(refund_answer(made))


def _end_later(now: SandboxState, made: PayRefund) -> None:
    def end() -> None:
        with now.changing():
            ended = now.pay.take_ended(time.time())
        for one in ended:
            pay_callbacks.tell_refund(now, one)

    timer = threading.Timer(max(0.0, made.ends_at - time.time()) + 0.02, end)
    timer.daemon = True
    timer.start()


@bp.get("/refund/domestic/refunds/<number>")
def query_refund(number: str) -> Response:
    return jsonify(refund_answer(state().pay.find_refund(number, time.time())))


# ── bills ───────────────────────────────────────────────────────────────────────────────────────────


@bp.get("/bill/tradebill")
def trade_bill() -> Response:
    try:
        day = date.fromisoformat(request.args.get("bill_date", ""))
    except ValueError:
        raise PayRefused(400, "PARAM_ERROR", "账单日期格式不正确") from None
    if request.environ["sandbox.fault"].bill_creating:
        raise PayRefused(400, "STATEMENT_CREATING", "账单生成中")
    rows = _bill_rows(day)
    if not rows:
        raise PayRefused(400, "NO_STATEMENT_EXIST", "账单文件不存在")
    data = _bill(rows)
    token = state().pay.keep_bill(gzip.compress(data) if request.args.get("tar_type") == "GZIP" else data)
    # The hash is of the file as it is after unpacking.
    return jsonify(
        hash_type="SHA1", hash_value=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        download_url=f"{request.host_url}v3/billdownload/file?token={token}",
    )  # fmt: skip


@bp.get("/billdownload/file")
def download() -> Response:
    data = state().pay.take_bill(request.args.get("token", ""))
    if data is None:
        raise PayRefused(404, "RESOURCE_NOT_EXISTS", "下载链接已失效")
    return Response(data, mimetype="application/octet-stream")


def _bill_rows(day: date) -> list[list[str]]:
    rows = []
    pay = state().pay
    with pay.lock:
        for order in pay.orders.values():
            if order.paid_at is not None and _day(order.paid_at) == day:
                rows.append(_bill_row(order, order.paid_at, "SUCCESS", None))
        for one in pay.refunds.values():
            if _day(one.created) == day:
                rows.append(_bill_row(pay.orders[one.out_trade_no], one.created, "REFUND", one))
    return sorted(rows)


def _bill_row(order: PayOrder, at: float, kind: str, one: PayRefund | None) -> list[str]:
    paid = _yuan(order.total) if one is None else "0.00"
    back = _yuan(one.refund) if one else "0.00"
    return [
        f"{datetime.fromtimestamp(at, SHANGHAI):%Y-%m-%d %H:%M:%S}", order.appid, order.mchid, "0", "",
        order.transaction_id or "", order.out_trade_no, order.payer or "", order.trade_type, kind, "OTHERS", "CNY",
        paid, "0.00", one.refund_id if one else "0", one.out_refund_no if one else "0", back, "0.00",
        "ORIGINAL" if one else "", one.status if one else "", order.description, order.attach or "", "0.00000",
        "0.60%", paid, back, "",
    ]  # fmt: skip


def _bill(rows: list[list[str]]) -> bytes:
    # No quoting: a comma in a description is WeChat's readers' trouble.
    lines = [",".join(f"`{cell}" for cell in row) + "\r\n" for row in rows]
    paid = [row for row in rows if row[9] == "SUCCESS"]
    total = sum(_fen(row[12]) for row in paid)
    back = sum(_fen(row[16]) for row in rows)
    cells = [str(len(rows)), _yuan(total), _yuan(back), "0.00", "0.00000", _yuan(total), _yuan(back)]
    last = ",".join(f"`{cell}" for cell in cells) + "\r\n"
    return "".join([_BILL_HEADER, *lines, _BILL_SUMMARY, last]).encode()


def _day(seconds: float) -> date:
    return datetime.fromtimestamp(seconds, SHANGHAI).date()


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _fen(yuan: str) -> int:
    return int(yuan.replace(".", ""))


def _json() -> dict[str, Any]:
    body = json_object(request.get_data())
    if body is None:
        raise PayRefused(400, "PARAM_ERROR", "无法将输入源“/body”的值映射为JSON")
    return body
