"""The stand-in of WeChat over HTTP: each error code, each limit, consent, field rules."""

from __future__ import annotations

import re

import pytest
import requests

from sandbox.templates_catalog import ID_BY_TYPE, TEMPLATES
from sandbox.testing import running_sandbox
from sandbox.wechat_fields import accepts

ACCOUNT = {"appid": "wxsandbox0000000001", "secret": "sandbox-secret"}
OPENID = "demo-parent-01"
LOW = {
    "amount1": {"value": "¥180.00"},
    "thing2": {"value": "余额不足，请充值"},
    "time3": {"value": "2026年11月18日 20:00"},
}


@pytest.fixture
def wx():
    with running_sandbox() as sandbox, requests.Session() as session:
        sandbox.http = session
        yield sandbox


def session_of(wx, code, **changes):
    params = {**ACCOUNT, "js_code": code, "grant_type": "authorization_code", **changes}
    answer = wx.http.get(f"{wx.url}/sns/jscode2session", params=params, timeout=5)
    assert answer.status_code == 200
    return answer.json()


def token_answer(wx, **changes):
    body = {"grant_type": "client_credential", **ACCOUNT, **changes}
    return wx.http.post(f"{wx.url}/cgi-bin/stable_token", json=body, timeout=5).json()


def send(wx, template="low_balance", data=None, token=None, openid=OPENID, **more):
    token = token_answer(wx)["access_token"] if token is None else token
    body = {"touser": openid, "template_id": ID_BY_TYPE.get(template, template), "data": data or LOW, **more}
    url = f"{wx.url}/cgi-bin/message/subscribe/send"
    return wx.http.post(url, params={"access_token": token}, json=body, timeout=5).json()


# -- sign-in ----------------------------------------------------------------------------------------------


def test_a_code_gives_the_openid_once(wx):
    code = wx.code_for(OPENID)
    first = session_of(wx, code)
    assert first["openid"] == OPENID
    assert first["session_key"]
    assert "errcode" not in first
    assert session_of(wx, code)["errcode"] == 40163


def test_an_unknown_or_old_code_is_refused_with_a_request_id(wx):
    answer = session_of(wx, "nonsense")
    assert answer["errcode"] == 40029
    assert re.fullmatch(r"invalid code, rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}", answer["errmsg"])
    code = wx.code_for(OPENID)
    wx.advance(301)
    assert session_of(wx, code)["errcode"] == 40029


def test_a_phone_code_is_no_sign_in_code(wx):
    assert session_of(wx, wx.phone_code_for(OPENID, "13900000001"))["errcode"] == 40029


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"appid": "wxother"}, 40013), ({"secret": "wrong"}, 40125), ({"appid": ""}, 41002), ({"secret": ""}, 41004),
        ({"js_code": ""}, 41008), ({"grant_type": "other"}, 40002),
    ],
)  # fmt: skip
def test_sign_in_refuses_a_wrong_account(wx, changes, errcode):
    assert session_of(wx, wx.code_for(OPENID), **changes)["errcode"] == errcode


def test_sign_in_is_limited_per_user(wx):
    assert [session_of(wx, wx.code_for(OPENID)).get("errcode") for _ in range(101)] == [None] * 100 + [45011]
    assert session_of(wx, wx.code_for("demo-parent-02"))["openid"] == "demo-parent-02"
    wx.advance(61)
    assert session_of(wx, wx.code_for(OPENID))["openid"] == OPENID


@pytest.mark.parametrize(("switch", "errcode"), [("risk", 40226), ("busy", -1), ("rate_limited", 45011)])
def test_sign_in_faults(wx, switch, errcode):
    wx.set_fault("wechat", **{switch: True})
    assert session_of(wx, wx.code_for(OPENID))["errcode"] == errcode


# -- access token -----------------------------------------------------------------------------------------


def test_the_token_stays_the_same_until_five_minutes_before_its_end(wx):
    first = token_answer(wx)
    assert first["expires_in"] <= 7200
    assert token_answer(wx)["access_token"] == first["access_token"]
    wx.advance(7200 - 301)
    assert token_answer(wx)["access_token"] == first["access_token"]
    wx.advance(2)
    second = token_answer(wx)["access_token"]
    assert second != first["access_token"]
    # Both work during the overlap; after it the old one has lapsed.
    wx.consent(OPENID, "low_balance", 3)
    assert send(wx, token=first["access_token"])["errcode"] == 0
    assert send(wx, token=second)["errcode"] == 0
    wx.advance(301)
    assert send(wx, token=first["access_token"])["errcode"] == 42001


def test_a_forced_refresh_kills_the_old_token_but_not_twice_in_thirty_seconds(wx):
    old = token_answer(wx)["access_token"]
    new = token_answer(wx, force_refresh=True)["access_token"]
    assert new != old
    assert send(wx, token=old)["errcode"] == 40001
    assert token_answer(wx, force_refresh=True)["access_token"] == new
    wx.advance(31)
    assert token_answer(wx, force_refresh=True)["access_token"] != new


def test_forced_refreshes_are_twenty_a_day(wx):
    for _ in range(20):
        assert "access_token" in token_answer(wx, force_refresh=True)
        wx.advance(31)
    assert token_answer(wx, force_refresh=True)["errcode"] == 45009
    assert "access_token" in token_answer(wx)


@pytest.mark.parametrize(
    ("changes", "errcode"), [({"appid": "x"}, 40013), ({"secret": "x"}, 40125), ({"grant_type": "x"}, 40002)]
)
def test_the_token_needs_the_right_account(wx, changes, errcode):
    assert token_answer(wx, **changes)["errcode"] == errcode


def test_token_errors_of_a_call(wx):
    wx.consent(OPENID, "low_balance")
    good = token_answer(wx)["access_token"]
    assert send(wx, token="")["errcode"] == 41001
    assert send(wx, token="rubbish")["errcode"] == 40001
    wx.expire_tokens()
    assert send(wx, token=good)["errcode"] == 40001
    wx.set_fault("wechat", token_invalid=True)
    assert send(wx)["errcode"] == 40001
    wx.clear_faults()
    assert send(wx)["errcode"] == 0


def test_a_wrong_method_path_or_body(wx):
    assert wx.http.get(f"{wx.url}/cgi-bin/stable_token", timeout=5).json()["errcode"] == 43002
    assert wx.http.post(f"{wx.url}/sns/jscode2session", timeout=5).json()["errcode"] == 43001
    assert wx.http.get(f"{wx.url}/cgi-bin/nothing", timeout=5).json()["errcode"] == 40066
    assert wx.http.post(f"{wx.url}/cgi-bin/stable_token", data="[]", timeout=5).json()["errcode"] == 47001
    token = token_answer(wx)["access_token"]
    assert send(wx, token=token, data={**LOW, "thing2": {"value": "\ud800"}})["errcode"] == 47001


# -- messages ---------------------------------------------------------------------------------------------


def test_one_consent_is_one_message(wx):
    assert send(wx)["errcode"] == 43101
    wx.consent(OPENID, "low_balance", 2)
    assert send(wx)["errmsg"] == "ok"
    assert send(wx, page="pages/wallet/index?from=message")["errcode"] == 0
    refused = send(wx)
    assert refused["errcode"] == 43101
    assert refused["errmsg"].startswith("user refuse to accept the msg rid: ")
    first, second = wx.messages(OPENID)
    assert first["title"] == "余额不足提醒"
    assert first["data"]["amount1"] == "¥180.00"
    assert first["fields"][0] == {"key": "amount1", "label": "当前余额", "value": "¥180.00"}
    assert second["page"] == "pages/wallet/index?from=message"
    assert wx.messages("demo-parent-02") == []


def test_consent_is_per_parent_and_template(wx):
    wx.consent(OPENID, "arrears")
    wx.consent("demo-parent-02", "low_balance")
    assert send(wx)["errcode"] == 43101


def test_a_refused_message_spends_no_consent(wx):
    wx.consent(OPENID, "low_balance")
    assert send(wx, data={**LOW, "thing2": {"value": "长" * 21}})["errcode"] == 47003
    assert send(wx, page="pages/unheard/of")["errcode"] == 41030
    wx.set_fault("wechat", refuse=True)
    assert send(wx)["errcode"] == 43101
    wx.clear_faults()
    assert send(wx)["errcode"] == 0


def test_bad_openid_template_state(wx):
    assert send(wx, openid="nobody-we-know")["errcode"] == 40003
    assert send(wx, template="sandbox-tmpl-nothing")["errcode"] == 40037
    assert send(wx, miniprogram_state="other")["errcode"] == 40097


@pytest.mark.parametrize("page", ["index", "pages/unheard/of", "https://pages/wallet", "pages/wallet index"])
def test_pages_that_are_not_in_the_live_version(wx, page):
    assert send(wx, page=page)["errcode"] == 41030


@pytest.mark.parametrize(
    ("data", "errmsg"),
    [
        ({}, "argument invalid! data.amount1.value is empty"),
        ({"amount1": {"value": "180元"}}, "argument invalid! data.thing2.value is empty"),
        ({**LOW, "thing2": {"value": ""}}, "argument invalid! data.thing2.value is empty"),
        ({**LOW, "thing2": "bare text"}, "argument invalid! data.thing2.value is empty"),
        ({**LOW, "thing2": {"value": "长" * 21}}, "argument invalid! data.thing2.value invalid"),
        ({**LOW, "time3": {"value": "刚才"}}, "argument invalid! data.time3.value invalid"),
        ({**LOW, "amount1": {"value": True}}, "argument invalid! data.amount1.value invalid"),
        ({**LOW, "thing9": {"value": "多余"}}, "argument invalid! data.thing9.value invalid"),
    ],
)
def test_47003_names_the_field(wx, data, errmsg):
    wx.consent(OPENID, "low_balance")
    answer = send(wx, data=data or {"other": {"value": "1"}})
    assert answer["errcode"] == 47003
    assert answer["errmsg"].rpartition(" rid: ")[0] == errmsg
    assert wx.messages() == []


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("thing1", ["长" * 20, "😀" * 10, "a", "名额已被抢占，您仍在候补中"], ["长" * 21, "😀" * 11, "", "两\n行"]),
        ("character_string2", ["A-1_2/3", "x" * 32], ["x" * 33, "含汉字", "全角，"]),
        ("number3", ["0", "12.5", "9" * 32], ["9" * 33, "-1", "1a", "1."]),
        ("letter4", ["Abc"], ["Ab1", "x" * 33]),
        ("symbol5", ["!?"], ["!!!!!!", "a"]),
        ("phrase6", ["支付成功", "五个汉字呀"], ["六个汉字长度", "成功1"]),
        ("name7", ["欧阳小雨", "Tom O'Neil", "小Tom"], ["一二三四五六七八九十一", "a" * 21, "小雨1"]),
        ("date8", ["2026年11月20日", "2026年1月2日 15:01", "2026-11-20"], ["11月20日", "2026年13月1日", "明天"]),
        ("time9", ["15:01", "2026年11月20日 15:01", "15:01~16:01", "2026-11-20 15:01:02"], ["25:00", "下午三点"]),
        ("amount10", ["¥200.00", "200元", "￥99999999.99", "12"], ["-¥200.00", "¥1,200.00", "99999999999", "二百"]),
        ("phone_number11", ["+86-0766-66888866", "13900000001"], ["1" * 18, "电话"]),
        ("car_number12", ["粤A8Z888挂", "京A12345"], ["粤A8Z8888挂", "a b"]),
        ("unknown13", [], ["x"]),
    ],
)
def test_the_limits_of_each_type(key, good, bad):
    assert [v for v in good if not accepts(key, v)] == []
    assert [v for v in bad if accepts(key, v)] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.type)
def test_each_sample_of_the_catalogue_can_be_sent(wx, template):
    wx.consent(OPENID, template.type)
    data = {f.key: {"value": f.sample} for f in template.fields}
    assert send(wx, template=template.type, data=data, page=template.page) == {
        "errcode": 0, "errmsg": "ok", "msgid": wx.messages(OPENID)[0]["msgid"],
    }  # fmt: skip


def test_the_fields_that_were_agreed():
    fields = {t.type: [(f.key, f.label) for f in t.fields] for t in TEMPLATES}
    assert len(fields) == 17
    assert all(2 <= len(rows) <= 5 for rows in fields.values())
    assert fields["balance_changed"] == [
        ("thing1", "变动类型"), ("amount2", "变动金额"), ("amount3", "当前余额"),
        ("time4", "变动时间"), ("thing5", "备注"),
    ]  # fmt: skip
    assert fields["low_balance"] == [("amount1", "当前余额"), ("thing2", "温馨提示"), ("time3", "时间")]
    assert fields["arrears"] == [("amount1", "欠费金额"), ("thing2", "温馨提示"), ("time3", "时间")]


def test_the_template_list(wx):
    token = token_answer(wx)["access_token"]
    url = f"{wx.url}/wxaapi/newtmpl/gettemplate"
    answer = wx.http.get(url, params={"access_token": token}, timeout=5).json()
    by_id = {t["priTmplId"]: t for t in answer["data"]}
    assert len(by_id) == 17
    assert by_id["sandbox-tmpl-arrears"]["content"] == (
        "欠费金额:{{amount1.DATA}}\n温馨提示:{{thing2.DATA}}\n时间:{{time3.DATA}}\n"
    )
    assert by_id["sandbox-tmpl-arrears"]["type"] == 2
    assert wx.http.get(url, timeout=5).json()["errcode"] == 41001


def test_the_phone_number_code(wx):
    token = token_answer(wx)["access_token"]

    def ask(code):
        url = f"{wx.url}/wxa/business/getuserphonenumber"
        return wx.http.post(url, params={"access_token": token}, json={"code": code}, timeout=5).json()

    code = wx.phone_code_for(OPENID, "13900000001")
    assert ask(code)["phone_info"]["purePhoneNumber"] == "13900000001"
    assert ask(code)["errcode"] == 40029
    assert ask(wx.code_for(OPENID))["errcode"] == 40029
    assert ask("")["errcode"] == 40029


@pytest.mark.parametrize(("switch", "errcode"), [("rate_limited", 45009), ("busy", -1)])
def test_faults_of_sending(wx, switch, errcode):
    wx.consent(OPENID, "low_balance")
    token = token_answer(wx)["access_token"]
    wx.set_fault("wechat", **{switch: True}, path="/cgi-bin/message/")
    assert send(wx, token=token)["errcode"] == errcode
    assert "access_token" in token_answer(wx)
