"""The sandbox inside a test, over real HTTP on a loopback port of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

from . import create_sandbox, pay_callbacks
from .control import template_id
from .faults import Fault
from .state import SandboxState


@dataclass
class RunningSandbox:
    """Where the sandbox answers, its state, and short ways to what tests ask for most."""

    url: str
    app: Flask
    state: SandboxState

    def point_to(self, app_url: str) -> None:
        """Tell the phone page where the app is, once the app itself is up."""
        self.app.config["APP_URL"] = app_url.rstrip("/")

    def hook_url(self, group: str) -> str:
        return f"{self.url}/open-apis/bot/v2/hook/{group}"

    def set_fault(self, system: str, **switches: Any) -> Fault:
        """For example `set_fault("wechat", down="error", times=2)`; the switches are `faults.Fault`'s fields."""
        return self.state.faults.set(system, **switches)

    def clear_faults(self) -> None:
        self.state.faults.clear()

    def expire_tokens(self) -> None:
        self.state.expire_tokens()

    def reset(self) -> None:
        self.state.reset()

    def advance(self, seconds: float) -> None:
        self.state.advance(seconds)

    def code_for(self, openid: str) -> str:
        """A fresh sign-in code of this parent, who need not be one of the demo."""
        return self.state.new_code("login", openid)

    def phone_code_for(self, openid: str, phone: str) -> str:
        return self.state.new_code("phone", openid, phone=phone)

    def consent(self, openid: str, template: str, count: int = 1) -> None:
        """Set how many messages of a template (id or type) the parent still accepts."""
        self.state.set_consent(openid, template_id(template), count)

    def messages(self, openid: str | None = None) -> list[dict[str, Any]]:
        return self.state.messages_of(openid)

    def cards(self, group: str | None = None) -> list[dict[str, Any]]:
        return self.state.cards_of(group)

    def pay(self, out_trade_no: str, payer: str = "", *, tell: bool = True) -> str:
        """The payer says yes to an order at WeChat; "" or why it is not taken. `tell` sends the callback."""
        order = self.state.pay.order(out_trade_no)
        refusal = self.state.pay.pay(order, payer or order.openid or "a-payer", time.time())
        if not refusal and tell:
            pay_callbacks.tell_paid(self.state, order)
        return refusal

    def calls(self, path: str | None = None) -> list[dict[str, Any]]:
        return self.state.calls(path)


@contextmanager
def running_sandbox(app_url: str = "http://127.0.0.1:9", pay_keys: Path | None = None) -> Iterator[RunningSandbox]:
    """Serve a fresh sandbox in a thread until the block ends. Port 9 discards: no app is there by default."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = create_sandbox(app_url, pay_keys=pay_keys)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield RunningSandbox(f"http://127.0.0.1:{server.server_port}", app, app.extensions["sandbox"])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
