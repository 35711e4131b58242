"""What tests of flows share: WeChat Pay's stand-in over real HTTP."""

from __future__ import annotations

import dataclasses

import pytest

from app.flows import outbound
from sandbox.testing import running_sandbox
from tests.conftest import pay_folder


@pytest.fixture(scope="module")
def pay_server():
    with running_sandbox(pay_keys=pay_folder()) as running:
        yield running


@pytest.fixture
def wechat_pay(app, pay_server, monkeypatch):
    """The stand-in, and the application pointed at it. Nobody is told of payments: what is settled is asked for."""
    pay_server.reset()
    pay_server.set_fault("wxpay", drop_callbacks=True)
    before = app.extensions["desk.settings"]
    settings = dataclasses.replace(
        before, wechat_appid=pay_server.state.appid, wxpay=dataclasses.replace(before.wxpay, api_url=pay_server.url)
    )
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    outbound.note_answer()
    return pay_server
