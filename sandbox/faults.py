"""Fault switches per system, and the gate before the stand-ins that makes them felt."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from .state import SandboxState

PREFIXES = {
    "wechat": ("/sns/", "/cgi-bin/", "/wxa/", "/wxaapi/"),
    "feishu": ("/open-apis/",),
    "wxpay": ("/v3/",),
}
DOWN = ("", "error", "reset")
BODY_KEPT = 4096
BODY_MOST = 1 << 20
_TYPES = {"float": (int, float), "str": str, "bool": bool, "int": (int,), "int | None": (int, type(None))}
SECRET_NAMES = ("secret", "access_token")


def system_of(path: str) -> str | None:
    return next((name for name, starts in PREFIXES.items() if path.startswith(starts)), None)


@dataclass(frozen=True)
class Fault:
    """What is wrong with one system. The first four work for each system, the others where they have a meaning."""

    slow: float = 0.0  # seconds before each answer
    down: str = ""  # "error": HTTP 500, "reset": the connection is cut without an answer
    rate_limited: bool = False  # WeChat 45009 (45011 at sign-in), Feishu 11232
    path: str = "/"  # only calls whose path begins like this are hit
    times: int | None = None  # so many calls, then all is well again; None: until switched off
    refuse: bool = False  # WeChat: 43101, the parent refuses every message
    busy: bool = False  # WeChat: -1, system error
    risk: bool = False  # WeChat: 40226 at sign-in, the user is blocked
    token_invalid: bool = False  # WeChat: 40001 whatever the token
    enforce_limits: bool = True  # Feishu: five in a second, a hundred in a minute; off for load tests
    # WeChat Pay
    wrong_signature: bool = False  # answers and callbacks are signed by somebody else
    unsigned: bool = False  # answers carry no signature, as if a proxy gave them
    drop_callbacks: bool = False  # none is sent
    duplicate_callbacks: int = 0  # so many more of each, at once
    stale_callbacks: bool = False  # signed an hour ago
    probe_first: bool = False  # WeChat's own test of whether we look, before the true one
    other_serial: bool = False  # signed under a key that nobody was told of
    wrong_amount: bool = False  # one fen more than was asked
    not_enough: bool = False  # the merchant's account is empty: no refunds
    refund_result: str = "SUCCESS"  # or ABNORMAL, CLOSED
    refund_delay: float = 1.0  # seconds until a refund ends
    bill_creating: bool = False  # the day's bill is still being made
    late_after: float = 0.0  # seconds until a late payment arrives; 0: just after the last moment to pay

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            kinds = _TYPES[spec.type]
            if not isinstance(value, kinds) or (spec.type != "bool" and isinstance(value, bool)):
                raise ValueError(f"{spec.name} 的类型不对")
        if self.down not in DOWN:
            raise ValueError("down 只能是 error、reset 或空")
        if self.refund_result not in ("SUCCESS", "ABNORMAL", "CLOSED"):
            raise ValueError("refund_result 只能是 SUCCESS、ABNORMAL 或 CLOSED")
        if not 0 <= self.slow <= 120:
            raise ValueError("slow 是 0 到 120 秒")
        if self.times is not None and self.times < 1:
            raise ValueError("times 至少为 1")

    @property
    def active(self) -> bool:
        return self != replace(Fault(), path=self.path, times=self.times)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Faults:
    lock: threading.RLock
    _by_system: dict[str, Fault] = field(default_factory=lambda: {name: Fault() for name in PREFIXES})

    def set(self, system: str, **changes: Any) -> Fault:
        """Change some switches of one system; raises ValueError for a name or value that makes no sense."""
        if system not in PREFIXES:
            raise ValueError(f"没有名为 {system} 的系统")
        unknown = changes.keys() - {f.name for f in fields(Fault)}
        if unknown:
            raise ValueError(f"没有这些开关：{', '.join(sorted(unknown))}")
        with self.lock:
            fault = self._by_system[system] = replace(self._by_system[system], **changes)
            return fault

    def clear(self) -> None:
        with self.lock:
            self._by_system = {name: Fault() for name in PREFIXES}

    def all(self) -> dict[str, Fault]:
        with self.lock:
            return dict(self._by_system)

    def take(self, system: str, path: str) -> Fault:
        """The fault that this call meets. A counted fault goes away by itself after its last call."""
        with self.lock:
            fault = self._by_system[system]
            if not fault.active or not path.startswith(fault.path):
                return Fault()
            if fault.times is not None:
                left = fault.times - 1
                self._by_system[system] = replace(fault, times=left) if left else Fault()
            return fault


class FaultGate:
    """WSGI middleware: records calls to the stand-ins, waits, breaks down, and hands the rest on."""

    def __init__(self, app: Any, state: SandboxState):
        self.app, self.state = app, state

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "")
        system = system_of(path)
        if system is None:
            return self.app(environ, start_response)
        run = self.state.run
        fault = environ["sandbox.fault"] = self.state.faults.take(system, path)
        call = {
            "method": environ["REQUEST_METHOD"],
            "path": path,
            "query": _without_secrets(environ.get("QUERY_STRING", "")),
            "body": _body(environ),
            "status": 0,
        }
        if fault.slow:
            time.sleep(fault.slow)
        if fault.down == "reset":
            self.state.record_call(call, run)
            _cut(environ)
        if fault.down:
            self.state.record_call({**call, "status": 500}, run)
            start_response("500 Internal Server Error", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return [b""]

        def recording(status: str, headers: Any, *rest: Any) -> Any:
            self.state.record_call({**call, "status": int(status[:3])}, run)
            return start_response(status, headers, *rest)

        return self.app(environ, recording)


def _body(environ: dict[str, Any]) -> str:
    """The request's text for the call list. Read here and put back: the handlers read it again."""
    try:
        length = min(int(environ.get("CONTENT_LENGTH") or 0), BODY_MOST)
    except ValueError:
        length = 0
    raw = environ["wsgi.input"].read(length) if length > 0 else b""
    environ["wsgi.input"] = io.BytesIO(raw)
    text = raw[:BODY_KEPT].decode("utf-8", "replace")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return text
    if isinstance(document, dict) and "secret" in document:
        return json.dumps({**document, "secret": "***"})[:BODY_KEPT]
    return text


def _without_secrets(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, "***" if name in SECRET_NAMES else value) for name, value in pairs], safe="*")


def _cut(environ: dict[str, Any]) -> None:
    """End the connection without an answer. Servers that do not show their socket answer 500 instead."""
    connection = environ.get("werkzeug.socket")
    if connection is None:
        return
    # Linger zero: closing sends a reset and does not wait for what was still to be sent.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("cut by the fault switch")
