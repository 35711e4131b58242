"""Telling the merchant: signed, encrypted, and again on WeChat's schedule until somebody answers 2xx."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from .pay_state import PayAccount, PayOrder, PayRefund, moment, refund_notice, trade

if TYPE_CHECKING:
    from .state import SandboxState

#: seconds between the tries, as WeChat documents them
SCHEDULE = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
SIGNATURE_TYPE = "WECHATPAY2-SHA256-RSA2048"
_strangers: list[Any] = []


def sign(account: PayAccount, timestamp: str, nonce: str, body: bytes, *, wrong: bool = False) -> str:
    """The platform's signature over exactly these bytes; `wrong`: somebody else's."""
    key = account.platform_key
    if wrong:
        if not _strangers:
            _strangers.append(generate_private_key(public_exponent=65537, key_size=2048))
        key = _strangers[0]
    signed = key.sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", PKCS1v15(), SHA256())
    return base64.b64encode(signed).decode()


def headers_for(account: PayAccount, body: bytes, *, wrong: bool = False, age: float = 0.0) -> dict[str, str]:
    """All that WeChat Pay puts around a body that it signs."""
    timestamp, nonce = str(int(time.time() - age)), secrets.token_hex(16)
    return {
        "Wechatpay-Timestamp": timestamp, "Wechatpay-Nonce": nonce, "Wechatpay-Serial": account.public_key_id,
        "Wechatpay-Signature": sign(account, timestamp, nonce, body, wrong=wrong),
        "Wechatpay-Signature-Type": SIGNATURE_TYPE, "Request-ID": secrets.token_hex(16).upper(),
    }  # fmt: skip


def seal(account: PayAccount, event: str, plain: dict[str, Any], kind: str, number: str | None = None) -> bytes:
    """A notification's body, its resource encrypted as WeChat does."""
    nonce = secrets.token_hex(6)
    sealed = AESGCM(account.apiv3_key.encode()).encrypt(
        nonce.encode(), json.dumps(plain, ensure_ascii=False).encode(), kind.encode()
    )
    resource = {
        "original_type": kind, "algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": kind,
        "ciphertext": base64.b64encode(sealed).decode(),
    }  # fmt: skip
    return json.dumps(
        {
            "id": number or str(uuid.uuid4()), "create_time": moment(time.time()), "event_type": event,
            "resource_type": "encrypt-resource", "summary": "支付成功" if kind == "transaction" else "退款通知",
            "resource": resource,
        },
        ensure_ascii=False,
    ).encode()  # fmt: skip


def tell_paid(state: SandboxState, order: PayOrder) -> None:
    """Start telling the merchant that an order was paid."""
    plain = trade(order) | {"trade_state": "SUCCESS", "trade_state_desc": "支付成功"}
    if state.faults.all()["wxpay"].wrong_amount:
        plain["amount"] = plain["amount"] | {"total": order.total + 1}
    _start(state, order.notify_url, "TRANSACTION.SUCCESS", plain, "transaction")


def tell_refund(state: SandboxState, one: PayRefund) -> None:
    """Start telling the merchant how a refund ended."""
    if one.notify_url and one.status != "PROCESSING":
        plain = refund_notice(one, state.pay.account.mchid)
        _start(state, one.notify_url, f"REFUND.{one.status}", plain, "refund")


def _start(state: SandboxState, url: str, event: str, plain: dict[str, Any], kind: str) -> None:
    fault = state.faults.all()["wxpay"]
    if fault.drop_callbacks:
        state.pay.note_callback({"event": event, "url": url, "status": None, "dropped": True})
        return
    for _ in range(1 + fault.duplicate_callbacks):
        threading.Thread(target=_tell, args=(state, url, event, plain, kind), daemon=True).start()


def _tell(state: SandboxState, url: str, event: str, plain: dict[str, Any], kind: str) -> None:
    account = state.pay.account
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        return  # a stand-in talks to nobody but this machine
    body = seal(account, event, plain, kind)
    if state.faults.all()["wxpay"].probe_first:
        probe = headers_for(account, body) | {"Wechatpay-Signature": f"WECHATPAY/SIGNTEST/{secrets.token_urlsafe(64)}"}
        _post(state, url, event, body, probe)
    for pause in (*SCHEDULE, None):
        fault = state.faults.all()["wxpay"]
        headers = headers_for(account, body, wrong=fault.wrong_signature, age=3600.0 if fault.stale_callbacks else 0.0)
        if fault.other_serial:
            headers["Wechatpay-Serial"] = "5A1F" + secrets.token_hex(18).upper()
        answered = _post(state, url, event, body, headers)
        if (answered is not None and 200 <= answered < 300) or pause is None or state.pay.account is not account:
            return
        time.sleep(pause / state.pay.speed)


def _post(state: SandboxState, url: str, event: str, body: bytes, headers: dict[str, str]) -> int | None:
    status, text, began = None, "", time.monotonic()
    try:
        # WeChat waits five seconds for an answer.
        answer = requests.post(url, data=body, headers=headers | {"Content-Type": "application/json"}, timeout=5)
        status, text = answer.status_code, answer.text[:200]
    except requests.RequestException as error:
        text = type(error).__name__
    state.pay.note_callback({"event": event, "url": url, "status": status, "answer": text,
                             "ms": round((time.monotonic() - began) * 1000, 1)})  # fmt: skip
    return status
