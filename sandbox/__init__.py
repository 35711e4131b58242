"""Stand-ins for WeChat, WeChat Pay and Feishu, over HTTP with their own paths and error codes.

For development and tests only: the state lives in memory and everybody who reaches the port may do anything.
`python -m sandbox` serves it; `sandbox.testing.running_sandbox()` serves it inside a test.

One module per system. A further system (a payment provider, say) is one more blueprint in SYSTEMS, its path
prefixes in `faults.PREFIXES`, and its part of the state.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response

from . import control, errors, feishu, groups, pay, phone, proxy, wechat
from .faults import FaultGate
from .pay_state import PayAccount
from .state import SandboxState

SYSTEMS = (wechat.bp, feishu.bp, pay.bp)
PAGES = (control.bp, groups.bp, phone.bp, proxy.bp)

# The pages show what parents and staff wrote. Without inline script and style, text that slipped through the
# escaping still could not run.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def create_sandbox(
    app_url: str = "http://127.0.0.1:8000", state: SandboxState | None = None, pay_keys: Path | None = None
) -> Flask:
    """Build the sandbox; `app_url` is where the product's own API answers (the phone page calls it). `pay_keys` is
    the folder of the payment account's keys; without it the payment stand-in refuses everything."""
    app = Flask(__name__)
    app.json.ensure_ascii = False
    app.json.sort_keys = False
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    state = state or SandboxState()
    if pay_keys is not None:
        state.pay.account = PayAccount.read(pay_keys)
    app.extensions["sandbox"] = state
    app.config["APP_URL"] = app_url.rstrip("/")
    for blueprint in (*SYSTEMS, *PAGES):
        app.register_blueprint(blueprint)
    errors.register(app)
    app.after_request(_harden)
    # Outermost, so that a fault also hits paths that do not exist, as an outage does.
    app.wsgi_app = FaultGate(app.wsgi_app, state)
    return app


def _harden(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response
