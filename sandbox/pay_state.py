"""What the payment stand-in remembers: orders, refunds, and what it told the merchant. Amounts in fen."""

from __future__ import annotations

import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

SHANGHAI = timezone(timedelta(hours=8))
MOST_REFUNDS = 50
KEPT = 500


class PayRefused(Exception):
    """An HTTP status with WeChat Pay's code and sentence."""

    def __init__(self, status: int, code: str, message: str):
        self.status, self.code, self.message = status, code, message
        super().__init__(code)


@dataclass(frozen=True)
class PayAccount:
    """The one merchant that there is, and the platform's own keys."""

    mchid: str
    cert_serial: str
    public_key_id: str
    apiv3_key: str
    merchant_public: Any
    platform_key: Any

    @classmethod
    def read(cls, folder: Path) -> PayAccount:
        """The account whose keys lie in this folder."""
        facts = json.loads((folder / "account.json").read_text())
        return cls(
            **facts,
            apiv3_key=(folder / "apiv3_key").read_text(),
            merchant_public=load_pem_public_key((folder / "merchant_public.pem").read_bytes()),
            platform_key=load_pem_private_key((folder / "platform_key.pem").read_bytes(), None),
        )


@dataclass
class PayOrder:
    """One `out_trade_no`. `params` is what it was first asked with: WeChat takes it again only unchanged."""

    out_trade_no: str
    trade_type: str
    appid: str
    mchid: str
    description: str
    total: int
    notify_url: str
    time_expire: float
    openid: str | None
    attach: str | None
    params: str
    created: float
    state: str = "NOTPAY"
    prepay_id: str = ""
    code_url: str = ""
    transaction_id: str | None = None
    payer: str | None = None
    paid_at: float | None = None
    #: its payer has begun and nothing stops them: closing does not help any more
    under_way: bool = False
    #: the merchant has said that it was delivered
    shipped: bool = False
    refunded: int = 0
    refunds: list[str] = field(default_factory=list)


@dataclass
class PayRefund:
    out_refund_no: str
    refund_id: str
    out_trade_no: str
    transaction_id: str
    total: int
    refund: int
    reason: str
    notify_url: str | None
    params: str
    created: float
    ends_at: float
    result: str
    status: str = "PROCESSING"
    ended: float | None = None


class PayState:
    """Behind the sandbox's one lock; no I/O inside."""

    def __init__(self, lock: threading.RLock):
        self.lock = lock
        self.account: PayAccount | None = None
        #: how many times faster than WeChat's own the callbacks are sent again
        self.speed = 60.0
        self.clear()

    def clear(self) -> None:
        self.orders: dict[str, PayOrder] = {}
        self.refunds: dict[str, PayRefund] = {}
        self.callbacks: list[dict[str, Any]] = []
        self._bills: dict[str, bytes] = {}
        self._untold: list[PayRefund] = []

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────

    def place(self, kind: str, body: dict[str, Any], now: float) -> PayOrder:
        """A new order, or the same once more with a fresh prepay."""
        number, amount = body["out_trade_no"], body["amount"]
        params = json.dumps({**body, "kind": kind}, sort_keys=True)
        with self.lock:
            order = self.orders.get(number)
            if order is None:
                expires = datetime.fromisoformat(body["time_expire"]).timestamp() if body.get("time_expire") else None
                if expires is not None and expires < now + 59:
                    raise PayRefused(400, "PARAM_ERROR", "time_expire时间过短，刷卡至少5分钟，其他1分钟")
                order = self.orders[number] = PayOrder(
                    out_trade_no=number, trade_type=kind, appid=body["appid"], mchid=body["mchid"],
                    description=body["description"], total=amount["total"], notify_url=body["notify_url"],
                    time_expire=expires or now + 7 * 86400, openid=(body.get("payer") or {}).get("openid"),
                    attach=body.get("attach"), params=params, created=now,
                )  # fmt: skip
            elif order.state in ("SUCCESS", "REFUND"):
                raise PayRefused(400, "ORDER_PAID", "该订单已支付")
            elif order.state == "CLOSED":
                raise PayRefused(400, "ORDER_CLOSED", "该订单已关闭")
            elif order.params != params:
                raise PayRefused(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")
            order.prepay_id = f"wx{datetime.now(SHANGHAI):%d%H%M%S}{secrets.token_hex(10)}"
            order.code_url = f"weixin://wxpay/bizpayurl?pr={secrets.token_urlsafe(9)}" if kind == "NATIVE" else ""
            return order

    def order(self, number: str) -> PayOrder:
        with self.lock:
            found = self.orders.get(number)
            if found is None:
                raise PayRefused(404, "ORDER_NOT_EXIST", "订单不存在")
            return found

    def by_transaction(self, transaction_id: str) -> PayOrder:
        with self.lock:
            found = next((one for one in self.orders.values() if one.transaction_id == transaction_id), None)
            if found is None:
                raise PayRefused(404, "ORDER_NOT_EXIST", "订单不存在")
            return found

    def close(self, number: str) -> None:
        with self.lock:
            order = self.order(number)
            if order.state in ("SUCCESS", "REFUND"):
                raise PayRefused(400, "ORDER_PAID", "该订单已支付")
            if not order.under_way:
                order.state = "CLOSED"

    def pay(self, order: PayOrder, payer: str, now: float) -> str:
        """The payer's yes. Returns "" or why WeChat does not take it."""
        with self.lock:
            if order.state in ("SUCCESS", "REFUND"):
                return "该订单已支付"
            if order.state == "CLOSED":
                return "订单已关闭"
            if now > order.time_expire and not order.under_way:
                return "订单已过期，请返回商户重新下单"
            order.state, order.payer, order.paid_at = "SUCCESS", payer, now
            order.transaction_id = f"4200{datetime.fromtimestamp(now, SHANGHAI):%Y%m%d}" + "".join(
                secrets.choice("0123456789") for _ in range(16)
            )
            return ""

    # ── refunds ─────────────────────────────────────────────────────────────────────────────────────

    def refund(self, body: dict[str, Any], now: float, *, delay: float, result: str) -> PayRefund:
        """A new refund, or the same once more. Raises PayRefused as WeChat does."""
        number, amount = body["out_refund_no"], body["amount"]
        params = json.dumps(body, sort_keys=True)
        with self.lock:
            known = self.refunds.get(number)
            if known is not None:
                if known.params != params:
                    raise PayRefused(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致")
                self._progress(now)
                return known
            order = (
                self.by_transaction(body["transaction_id"])
                if body.get("transaction_id")
                else self.order(body.get("out_trade_no", ""))
            )
            if order.state not in ("SUCCESS", "REFUND"):
                raise PayRefused(400, "INVALID_REQUEST", "订单未支付，不能退款")
            if amount["total"] != order.total:
                raise PayRefused(400, "INVALID_REQUEST", "订单金额不一致")
            if amount["refund"] < 1 or order.refunded + amount["refund"] > order.total:
                raise PayRefused(400, "INVALID_REQUEST", "退款金额超过可退金额")
            if len(order.refunds) >= MOST_REFUNDS:
                raise PayRefused(400, "INVALID_REQUEST", "部分退款次数超限")
            made = self.refunds[number] = PayRefund(
                out_refund_no=number, refund_id=f"5030{int(now * 1000)}{secrets.randbelow(10**8):08d}",
                out_trade_no=order.out_trade_no, transaction_id=order.transaction_id or "", total=order.total,
                refund=amount["refund"], reason=body.get("reason", ""), notify_url=body.get("notify_url"),
                params=params, created=now, ends_at=now + delay, result=result,
            )  # fmt: skip
            order.refunded += amount["refund"]
            order.refunds.append(number)
            order.state = "REFUND"
            return made

    def find_refund(self, number: str, now: float) -> PayRefund:
        with self.lock:
            self._progress(now)
            found = self.refunds.get(number)
            if found is None:
                raise PayRefused(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
            return found

    def take_ended(self, now: float) -> list[PayRefund]:
        """The refunds that have ended and that the merchant has not been told of, each once; also those whose end a
        question brought to light."""
        with self.lock:
            self._progress(now)
            ended, self._untold = self._untold, []
            return ended

    def _progress(self, now: float) -> None:
        for one in self.refunds.values():
            if one.status == "PROCESSING" and one.ends_at <= now:
                one.status, one.ended = one.result, now
                if one.result == "CLOSED":
                    self.orders[one.out_trade_no].refunded -= one.refund
                self._untold.append(one)

    # ── what was sent ───────────────────────────────────────────────────────────────────────────────

    def note_callback(self, entry: dict[str, Any]) -> None:
        with self.lock:
            self.callbacks.append({**entry, "at": time.time()})
            del self.callbacks[:-KEPT]

    def keep_bill(self, data: bytes) -> str:
        token = secrets.token_urlsafe(24)
        with self.lock:
            self._bills[token] = data
        return token

    def take_bill(self, token: str) -> bytes | None:
        with self.lock:
            return self._bills.get(token)


def moment(seconds: float) -> str:
    """A time as WeChat Pay writes it."""
    return datetime.fromtimestamp(seconds, UTC).astimezone(SHANGHAI).isoformat(timespec="seconds")


def trade(order: PayOrder) -> dict[str, Any]:
    """The order as a query answers it, and a callback carries it."""
    found: dict[str, Any] = {
        "appid": order.appid, "mchid": order.mchid, "out_trade_no": order.out_trade_no,
        "trade_state": order.state, "trade_state_desc": {"SUCCESS": "支付成功", "NOTPAY": "订单未支付",
                                                         "CLOSED": "订单已关闭", "REFUND": "转入退款"}[order.state],
        "attach": order.attach or "", "amount": {"total": order.total, "currency": "CNY"},
    }  # fmt: skip
    if order.transaction_id:
        found |= {
            "transaction_id": order.transaction_id, "trade_type": order.trade_type, "bank_type": "OTHERS",
            "success_time": moment(order.paid_at or 0), "payer": {"openid": order.payer},
            "amount": {"total": order.total, "payer_total": order.total, "currency": "CNY", "payer_currency": "CNY"},
        }  # fmt: skip
    return found


def refund_answer(one: PayRefund) -> dict[str, Any]:
    """The refund as an answer carries it."""
    found: dict[str, Any] = {
        "refund_id": one.refund_id, "out_refund_no": one.out_refund_no, "transaction_id": one.transaction_id,
        "out_trade_no": one.out_trade_no, "channel": "ORIGINAL", "user_received_account": "支付用户零钱",
        "create_time": moment(one.created), "status": one.status, "funds_account": "AVAILABLE",
        "amount": {"total": one.total, "refund": one.refund, "payer_total": one.total, "payer_refund": one.refund,
                   "settlement_refund": one.refund, "settlement_total": one.total, "discount_refund": 0,
                   "currency": "CNY"},
    }  # fmt: skip
    if one.status == "SUCCESS":
        found["success_time"] = moment(one.ended or 0)
    return found


def refund_notice(one: PayRefund, mchid: str) -> dict[str, Any]:
    """The refund as a callback carries it."""
    answer = refund_answer(one)
    amount = {name: answer["amount"][name] for name in ("total", "refund", "payer_total", "payer_refund")}
    names = ("transaction_id", "out_trade_no", "refund_id", "out_refund_no", "user_received_account")
    found = {"mchid": mchid, **{name: answer[name] for name in names}, "refund_status": one.status, "amount": amount}
    return found | ({"success_time": answer["success_time"]} if "success_time" in answer else {})
