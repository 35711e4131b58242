"""WeChat Pay v3 behind one client: each call has a typed outcome — done, refused, or unknown (O8, 90 S6).

Signing and decryption are wechatpayv3's; the HTTP is ours (docs/decisions/0015-wechat-pay.md): bounded in time and
size, pooled, silent about what it carries. Amounts are whole fen here and nowhere else (O24).
"""

from __future__ import annotations

import json
import logging
import time
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

from requests import Response
from wechatpayv3.utils import build_authorization, rsa_sign

from app import clock, ids
from app.config import Settings, WeChatPay
from app.gateways import http
from app.gateways.errors import GatewayError, Permanent, RateLimited, Temporary, UnknownOutcome
from app.gateways.wechat_pay_facts import RefundState, Trade, read_refund, read_trade
from app.gateways.wechat_pay_signing import moment_of, private_key, public_key, verify

log = logging.getLogger("desk.wxpay")

#: seconds that an answer's timestamp may differ from our clock
ANSWER_AGE = 300


class NotConfigured(Permanent):
    """Credentials are missing; `detail` names the settings (O13)."""


class OrderPaid(Permanent):
    """The number is paid already: ask about it."""


class OrderClosed(Permanent):
    """The number is closed: pay under another one."""


class NotEnough(Permanent):
    """The merchant account has too little to refund from: top up, then the identical call."""


class CloseOutcome(StrEnum):
    CLOSED = "closed"
    PAID = "paid"
    UNKNOWN_ORDER = "unknown_order"


def from_settings(settings: Settings) -> WeChatPayClient:
    """Raises NotConfigured."""
    missing = settings.wxpay.missing
    if missing or not settings.wechat_appid:
        raise NotConfigured("wxpay", "not_configured", "、".join(missing or ("DESK_WECHAT_APPID",)))
    return WeChatPayClient(settings.wxpay, settings.wechat_appid)


class WeChatPayClient:
    """One merchant account. Every call raises GatewayError: Permanent where WeChat refuses, RateLimited, Temporary
    where nothing happened there, UnknownOutcome where it may have."""

    def __init__(self, account: WeChatPay, appid: str):
        self._account, self._appid = account, appid

    # ── paying ──────────────────────────────────────────────────────────────────────────────────────

    def prepay_jsapi(
        self, *, out_trade_no: str, description: str, total_fen: int, openid: str, time_expire: datetime,
        notify_url: str, attach: str | None = None,
    ) -> str:  # fmt: skip
        """Start a payment in the mini program; its prepay id. The same call again gives a fresh one of the same order.

        Raises OrderPaid, OrderClosed besides.
        """
        body = self._order(out_trade_no, description, total_fen, time_expire, notify_url, attach)
        answer = self._call("POST", "/v3/pay/transactions/jsapi", "wxpay.jsapi", body | {"payer": {"openid": openid}})
        return _text(answer, "prepay_id", "wxpay.jsapi")

    def prepay_native(
        self, *, out_trade_no: str, description: str, total_fen: int, time_expire: datetime, notify_url: str,
        attach: str | None = None,
    ) -> str:  # fmt: skip
        """Start a payment by QR code; what the code says. Raises as `prepay_jsapi`."""
        body = self._order(out_trade_no, description, total_fen, time_expire, notify_url, attach)
        return _text(
            self._call("POST", "/v3/pay/transactions/native", "wxpay.native", body), "code_url", "wxpay.native"
        )

    def sign_pay(self, prepay_id: str) -> dict[str, str]:
        """What `wx.requestPayment` takes, signed afresh; no network."""
        stamp, nonce, package = str(int(time.time())), ids.new_hex(), f"prepay_id={prepay_id}"
        signed = rsa_sign(private_key(self._account.private_key), f"{self._appid}\n{stamp}\n{nonce}\n{package}\n")
        return {
            "appId": self._appid, "timeStamp": stamp, "nonceStr": nonce, "package": package, "signType": "RSA",
            "paySign": signed,
        }  # fmt: skip

    def query(self, *, out_trade_no: str | None = None, transaction_id: str | None = None) -> Trade | None:
        """A payment by our number or by WeChat's; None where WeChat knows none."""
        where = f"out-trade-no/{quote(out_trade_no, safe='')}" if out_trade_no else f"id/{quote(transaction_id or '')}"
        path = f"/v3/pay/transactions/{where}?mchid={quote(self._account.mchid)}"
        try:
            return read_trade(self._call("GET", path, "wxpay.query"), "wxpay.query")
        except Permanent as error:
            if error.code in ("ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"):
                return None
            raise

    def close(self, out_trade_no: str) -> CloseOutcome:
        """Close an unpaid number. A payment on its way may still win: ask afterwards."""
        path = f"/v3/pay/transactions/out-trade-no/{quote(out_trade_no, safe='')}/close"
        try:
            self._call("POST", path, "wxpay.close", {"mchid": self._account.mchid})
        except OrderPaid:
            return CloseOutcome.PAID
        except OrderClosed:
            return CloseOutcome.CLOSED
        except Permanent as error:
            if error.code in ("ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"):
                return CloseOutcome.UNKNOWN_ORDER
            raise
        return CloseOutcome.CLOSED

    # ── giving back ─────────────────────────────────────────────────────────────────────────────────

    def refund(
        self, *, refund_no: str, transaction_id: str, refund_fen: int, total_fen: int, reason: str, notify_url: str
    ) -> RefundState:
        """Ask for a refund; accepted is not done. The same number asked again never refunds twice.

        Raises NotEnough besides.
        """
        body = {
            "transaction_id": transaction_id, "out_refund_no": refund_no, "reason": reason[:80],
            "notify_url": notify_url, "amount": {"refund": refund_fen, "total": total_fen, "currency": "CNY"},
        }  # fmt: skip
        return read_refund(self._call("POST", "/v3/refund/domestic/refunds", "wxpay.refund", body), "wxpay.refund")

    def query_refund(self, refund_no: str) -> RefundState | None:
        """A refund by our number; None where WeChat knows none."""
        path = f"/v3/refund/domestic/refunds/{quote(refund_no, safe='')}"
        try:
            return read_refund(self._call("GET", path, "wxpay.query_refund"), "wxpay.query_refund")
        except Permanent as error:
            if error.code == "RESOURCE_NOT_EXISTS":
                return None
            raise

    # ── the exchange ────────────────────────────────────────────────────────────────────────────────

    def _order(
        self, out_trade_no: str, description: str, total_fen: int, time_expire: datetime, notify_url: str,
        attach: str | None,
    ) -> dict[str, Any]:  # fmt: skip
        body = {
            "appid": self._appid, "mchid": self._account.mchid, "description": description[:127],
            "out_trade_no": out_trade_no, "notify_url": notify_url,
            "time_expire": clock.local(time_expire).isoformat(timespec="seconds"),
            "amount": {"total": total_fen, "currency": "CNY"},
        }  # fmt: skip
        return body | ({"attach": attach} if attach else {})

    def _call(self, method: str, path: str, label: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._send(method, self._account.api_url + path, path, label, body)
        if not 200 <= response.status_code < 300:
            if not _is_no_verdict(response):
                self._check_answer(response, label)
            raise _refusal(response, label, reads=method == "GET")
        self._check_answer(response, label)
        return http.read_json(response, label) if response.content else {}

    def _send(self, method: str, url: str, path: str, label: str, body: dict[str, Any] | None) -> Response:
        text = "" if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        account = self._account
        headers = {
            "Authorization": build_authorization(
                path, method, account.mchid, account.cert_serial, private_key(account.private_key), text
            ),
            "Accept": "application/json", "Content-Type": "application/json",
            "Wechatpay-Serial": account.public_keys[0][0],
        }  # fmt: skip
        response = http.request(method, url, label=label, headers=headers, data=text.encode() or None)
        # WeChat's support asks for this number first.
        log.debug("answer", extra={"call": label, "wechat_request": response.headers.get("Request-ID", "-")})
        return response

    def _check_answer(self, response: Response, label: str) -> None:
        """Whether WeChat itself said it, and now. Otherwise nobody knows what happened: a proxy may have answered."""
        headers = response.headers
        stamp, nonce = headers.get("Wechatpay-Timestamp", ""), headers.get("Wechatpay-Nonce", "")
        moment = moment_of(stamp)
        fresh = moment is not None and abs(moment - time.time()) <= ANSWER_AGE
        pem = dict(self._account.public_keys).get(headers.get("Wechatpay-Serial", ""))
        signature = headers.get("Wechatpay-Signature", "")
        if not fresh or pem is None or not verify(public_key(pem), stamp, nonce, response.content, signature):
            raise UnknownOutcome(label, "bad_signature")

    # ── bills ───────────────────────────────────────────────────────────────────────────────────────

    def fetch_signed(self, url: str, label: str) -> Response:
        """A file that a signed answer pointed to, under the account's own host; the file itself carries no signature.

        Raises Permanent for another host's.
        """
        here, there = urlsplit(self._account.api_url), urlsplit(url)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise Permanent(label, "foreign_host")
        path = there.path + (f"?{there.query}" if there.query else "")
        response = self._send("GET", url, path, label, None)
        if not 200 <= response.status_code < 300:
            raise _refusal(response, label, reads=True)
        return response

    def get_signed(self, path: str, label: str) -> dict[str, Any]:
        """A signed answer to a plain GET."""
        return self._call("GET", path, label)


def _is_no_verdict(response: Response) -> bool:
    """Whether the answer decides nothing about what was asked, and so needs no signature: too many calls, a broken
    server; and 401, where WeChat does not know us, and so not whose key to sign with. A no it signs like a yes."""
    unsigned = "Wechatpay-Signature" not in response.headers
    return response.status_code == 429 or response.status_code >= 500 or (response.status_code == 401 and unsigned)


def _refusal(response: Response, label: str, *, reads: bool) -> GatewayError:
    """WeChat's error as one of ours. Only the code decides, never the message."""
    status = response.status_code
    try:
        document = response.json()
        code, words = str(document.get("code", "")), str(document.get("message", ""))
    except (ValueError, AttributeError):
        code, words = "", ""
    if status == 429 or code in ("FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED"):
        return RateLimited(label, code or "http_429", words, retry_after=5)
    if status == 401:
        return Permanent(label, "SIGN_ERROR" if code == "SIGN_ERROR" else "http_401", words)
    if status >= 500:
        # It may have been done before it failed; a question changed nothing either way.
        return (Temporary if reads else UnknownOutcome)(label, code or f"http_{status}", words)
    special = {
        "ORDER_PAID": OrderPaid, "ORDERPAID": OrderPaid, "OUT_TRADE_NO_USED": OrderPaid,
        "ORDER_CLOSED": OrderClosed, "ORDERCLOSED": OrderClosed, "NOT_ENOUGH": NotEnough, "NOTENOUGH": NotEnough,
    }.get(code, Permanent)  # fmt: skip
    return special(label, code or f"http_{status}", words)


def _text(answer: dict[str, Any], name: str, label: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise UnknownOutcome(label, "bad_answer")
    return value
