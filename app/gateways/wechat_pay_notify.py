"""WeChat Pay's callbacks: whether one is WeChat's, and what it says. Nothing here asks anybody anything (S6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.config import Settings
from app.gateways.base64_text import decode
from app.gateways.errors import GatewayError
from app.gateways.wechat_pay_facts import RefundState, Trade, read_refund, read_trade
from app.gateways.wechat_pay_signing import SIGNATURE_TYPE, moment_of, public_key, verify

MAX_BODY = 64 * 1024
_HEADERS = (
    "Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial", "Wechatpay-Signature-Type",
)  # fmt: skip
#: WeChat tests now and then whether we look: such a signature must fail
_PROBE = "WECHATPAY/SIGNTEST/"


@dataclass(frozen=True, slots=True)
class Notification:
    """A callback that verified. `resource` is what was encrypted."""

    id: str
    event_type: str
    resource: Trade | RefundState | None
    plain: dict[str, Any] = field(default_factory=dict, repr=False)


class NotifyRejected(Exception):
    """Not WeChat's, or nothing that it would send. `status` is the answer's; `reason` is short and stable."""

    def __init__(self, status: int, reason: str):
        self.status, self.reason = status, reason
        super().__init__(reason)


def read_notification(
    settings: Settings,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    max_age: timedelta,
    seen: Callable[[str, str], bool],
) -> Notification:
    """Verify and decrypt one callback. `seen` says whether this timestamp and nonce were used for something else; it
    is asked only once the signature is good. Raises NotifyRejected and nothing else."""
    if len(body) > MAX_BODY:
        raise NotifyRejected(413, "too_large")
    stamp, nonce, signature, serial, kind = (_header(headers, name) for name in _HEADERS)
    keys = dict(settings.wxpay.public_keys)
    if kind != SIGNATURE_TYPE:
        raise NotifyRejected(401, "signature_type")
    if serial not in keys:
        raise NotifyRejected(401, "unknown_serial")
    if signature.startswith(_PROBE):
        raise NotifyRejected(401, "probe")
    moment = moment_of(stamp)
    if moment is None or abs(moment - now.timestamp()) > max_age.total_seconds():
        raise NotifyRejected(401, "stale")
    if not verify(public_key(keys[serial]), stamp, nonce, body, signature):
        raise NotifyRejected(401, "bad_signature")
    if seen(stamp, nonce):
        raise NotifyRejected(401, "replayed")
    return _read(settings.wxpay.apiv3_key, body)


def _header(headers: Mapping[str, str], name: str) -> str:
    # Two of one name are one too many: which of them was signed?
    values = headers.getlist(name) if hasattr(headers, "getlist") else [v for k, v in headers.items() if k == name]
    if len(values) != 1 or not values[0] or "," in values[0]:
        raise NotifyRejected(401, "missing_header")
    return values[0]


def _read(apiv3_key: str, body: bytes) -> Notification:
    envelope = _object(body)
    number, event, resource = envelope.get("id"), envelope.get("event_type"), envelope.get("resource")
    texts = isinstance(number, str) and isinstance(event, str) and 0 < len(number) <= 64 and 0 < len(event) <= 32
    if not texts or not number.isascii() or not event.isascii() or not isinstance(resource, dict):
        raise NotifyRejected(400, "not_a_notification")
    plain = _object(_decrypt(apiv3_key, resource))
    try:
        return Notification(number, event, _resource(event, plain), plain)
    except GatewayError:
        raise NotifyRejected(400, "bad_resource") from None


def _resource(event: str, plain: dict[str, Any]) -> Trade | RefundState | None:
    if event.startswith("TRANSACTION."):
        return read_trade(plain, "wxpay.callback")
    if event.startswith("REFUND."):
        return read_refund(plain, "wxpay.callback")
    return None


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise NotifyRejected(400, "not_json") from None
    if not isinstance(found, dict):
        raise NotifyRejected(400, "not_json")
    return found


def _decrypt(apiv3_key: str, resource: dict[str, Any]) -> bytes:
    parts = [resource.get(name, "") for name in ("nonce", "associated_data", "ciphertext")]
    if resource.get("algorithm") != "AEAD_AES_256_GCM" or not all(isinstance(part, str) for part in parts):
        raise NotifyRejected(400, "bad_resource")
    nonce, associated, ciphertext = parts
    sealed = decode(ciphertext)
    if sealed is None:
        raise NotifyRejected(400, "bad_resource")
    try:
        return AESGCM(apiv3_key.encode()).decrypt(nonce.encode(), sealed, associated.encode())
    except (InvalidTag, ValueError, UnicodeEncodeError):
        raise NotifyRejected(400, "bad_resource") from None
