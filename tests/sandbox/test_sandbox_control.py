"""Fault switches, the control endpoints, and the command itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from sandbox.testing import running_sandbox

ROOT = Path(__file__).resolve().parents[2]
OPENID = "demo-parent-03"
TOKEN = {"grant_type": "client_credential", "appid": "wxsandbox0000000001", "secret": "sandbox-secret"}


@pytest.fixture
def box():
    with running_sandbox() as sandbox, requests.Session() as session:
        sandbox.http = session
        yield sandbox


def order(box, path, body=None, method="POST", status=200):
    answer = box.http.request(method, f"{box.url}/_control/{path}", json=body, timeout=5)
    assert answer.status_code == status, answer.text
    return answer.json()


def token(box):
    return box.http.post(f"{box.url}/cgi-bin/stable_token", json=TOKEN, timeout=5)


def test_slow(box):
    order(box, "faults", {"system": "wechat", "slow": 0.3})
    begun = time.monotonic()
    assert "access_token" in token(box).json()
    assert time.monotonic() - begun >= 0.3
    begun = time.monotonic()
    order(box, "faults", method="DELETE")
    assert time.monotonic() - begun < 0.3


def test_down_with_500_for_some_calls(box):
    order(box, "faults", {"system": "wechat", "down": "error", "times": 2})
    assert [token(box).status_code for _ in range(3)] == [500, 500, 200]
    assert order(box, "faults", method="GET")["wechat"]["down"] == ""


def test_down_by_a_cut_connection(box):
    order(box, "faults", {"system": "feishu", "down": "reset"})
    with pytest.raises(requests.ConnectionError):
        box.http.post(box.hook_url("money"), json={}, timeout=5)
    assert "access_token" in token(box).json(), "another system is not touched"


def test_a_fault_of_one_path_leaves_the_others(box):
    order(box, "faults", {"system": "wechat", "down": "error", "path": "/sns/"})
    assert token(box).status_code == 200
    assert box.http.get(f"{box.url}/sns/jscode2session", timeout=5).status_code == 500


def test_token_expired_now(box):
    old = token(box).json()["access_token"]
    order(box, "faults", {"system": "wechat", "token_expired": True})
    url = f"{box.url}/wxaapi/newtmpl/gettemplate"
    assert box.http.get(url, params={"access_token": old}, timeout=5).json()["errcode"] == 40001
    new = token(box).json()["access_token"]
    assert box.http.get(url, params={"access_token": new}, timeout=5).json()["errcode"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {}, {"system": "telegram"}, {"system": "wechat", "down": "sideways"}, {"system": "wechat", "slow": "2"},
        {"system": "wechat", "slow": -1}, {"system": "wechat", "times": 0}, {"system": "wechat", "refuse": 1},
        {"system": "wechat", "slow": True}, {"system": "wechat", "unknown": True},
        {"system": "feishu", "token_expired": True},
    ],
)  # fmt: skip
def test_orders_that_make_no_sense(box, body):
    assert order(box, "faults", body, status=400)["error"] == "BAD_CONTROL"


def test_a_form_from_a_foreign_page_is_not_an_order(box):
    answer = box.http.post(f"{box.url}/_control/reset", data={"x": "1"}, timeout=5)
    assert answer.status_code == 200, "a reset has no body to forge"
    answer = box.http.post(f"{box.url}/_control/faults", data='{"system":"wechat","busy":true}', timeout=5)
    assert answer.status_code == 400


def test_codes_consent_messages_and_reset(box):
    code = order(box, "code", {"openid": OPENID})["code"]
    params = {"appid": TOKEN["appid"], "secret": TOKEN["secret"], "js_code": code, "grant_type": "authorization_code"}
    assert box.http.get(f"{box.url}/sns/jscode2session", params=params, timeout=5).json()["openid"] == OPENID
    assert order(box, "phone_code", {"openid": OPENID, "phone": "13900000003"})["code"]
    set_to = order(box, "consent", {"openid": OPENID, "template_id": "arrears", "count": 2})
    assert set_to == {"template_id": "sandbox-tmpl-arrears", "count": 2}
    assert order(box, f"consent?openid={OPENID}", method="GET")["sandbox-tmpl-arrears"] == 2
    data = {"amount1": {"value": "200元"}, "thing2": {"value": "请充值"}, "time3": {"value": "20:00"}}
    box.http.post(
        f"{box.url}/cgi-bin/message/subscribe/send",
        params={"access_token": token(box).json()["access_token"]},
        json={"touser": OPENID, "template_id": "sandbox-tmpl-arrears", "data": data},
        timeout=5,
    )
    assert [m["type"] for m in order(box, f"messages?openid={OPENID}", method="GET")["items"]] == ["arrears"]
    assert order(box, "messages?openid=demo-parent-01", method="GET")["items"] == []
    assert order(box, "cards?group=money", method="GET")["items"] == []
    revision = box.state.revision
    order(box, "reset", {})
    assert order(box, "messages", method="GET")["items"] == []
    assert order(box, f"consent?openid={OPENID}", method="GET")["sandbox-tmpl-arrears"] == 0
    assert box.state.revision > revision, "pages that poll must notice"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("code", {}), ("code", {"openid": "x"}), ("code", {"openid": "<script>"}), ("phone_code", {"openid": OPENID}),
        ("consent", {"openid": OPENID, "template_id": "nothing"}),
        ("consent", {"openid": OPENID, "template_id": "arrears", "count": -1}), ("advance", {"seconds": "9"}),
    ],
)  # fmt: skip
def test_bad_orders(box, path, body):
    order(box, path, body, status=400)


def test_the_clock_can_be_moved(box):
    code = order(box, "code", {"openid": OPENID})["code"]
    order(box, "advance", {"seconds": 400})
    params = {"appid": TOKEN["appid"], "secret": TOKEN["secret"], "js_code": code, "grant_type": "authorization_code"}
    assert box.http.get(f"{box.url}/sns/jscode2session", params=params, timeout=5).json()["errcode"] == 40029


def test_calls_are_counted_and_shown_without_secrets(box):
    token(box)
    token(box)
    box.http.get(f"{box.url}/sns/jscode2session", params={"appid": "a", "secret": "hidden"}, timeout=5)
    calls = order(box, "calls", method="GET")
    assert calls["counts"] == {"POST /cgi-bin/stable_token": 2, "GET /sns/jscode2session": 1}
    assert [c["status"] for c in calls["last"]] == [200, 200, 200]
    assert "hidden" not in str(calls)
    assert "sandbox-secret" not in str(calls)
    assert len(order(box, "calls?path=/sns/jscode2session", method="GET")["last"]) == 1


def test_the_control_page_escapes_what_it_lists(box):
    box.http.get(f"{box.url}/cgi-bin/<script>alert(1)</script>", timeout=5)
    answer = box.http.get(f"{box.url}/", timeout=5)
    assert answer.status_code == 200
    assert "<script>alert(1)" not in answer.text
    assert "家长手机" in answer.text
    for name in ("down", "slow", "refuse", "rate_limited", "enforce_limits", "drop_callbacks",
                 "duplicate_callbacks", "wrong_signature", "wrong_amount", "refund_result", "late_after"):  # fmt: skip
        assert f'data-switch="{name}"' in answer.text


def test_no_page_has_inline_script_style_or_foreign_address(box):
    for path in ("/", "/groups", "/phone", "/phone/demo-parent-01"):
        page = box.http.get(f"{box.url}{path}", timeout=5).text
        assert "<script>" not in page
        assert "style=" not in page
        assert "https://" not in page
        assert not re.search(r"<[^>]*\son\w+=", page)


def test_many_threads_count_right(box):
    box.consent(OPENID, "arrears", 20)
    data = {"amount1": {"value": "200元"}, "thing2": {"value": "请充值"}, "time3": {"value": "20:00"}}
    access = token(box).json()["access_token"]

    def send(_):
        return requests.post(
            f"{box.url}/cgi-bin/message/subscribe/send",
            params={"access_token": access},
            json={"touser": OPENID, "template_id": "sandbox-tmpl-arrears", "data": data},
            timeout=10,
        ).json()["errcode"]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(send, range(40)))
    assert sorted(results) == [0] * 20 + [43101] * 20
    assert len(box.messages(OPENID)) == 20


def test_the_command_starts_and_stops():
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--port", "0", "--app-url", "http://127.0.0.1:9"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    with process:
        line = process.stdout.readline()
        address = line.split("：")[1].split(" ")[0]
        assert requests.get(address, timeout=5).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
