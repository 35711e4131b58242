"""The sixteen types agree with WeChat's templates, and nothing that people type makes WeChat refuse a message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import MESSAGE_TYPES
from app.domain.outbox import wording
from app.domain.outbox.kinds import CHANGES, KINDS, SWITCHABLE, Form
from app.domain.outbox.wording import compose, compose_in_app, cut, fit, sample
from sandbox import templates_catalog
from sandbox.wechat_fields import accepts, complaint, page_exists

CATALOG = {t.type: t for t in templates_catalog.TEMPLATES}


def test_the_types_are_those_of_the_contract_in_its_order():
    assert set(KINDS) == set(MESSAGE_TYPES) == set(CATALOG)
    assert set(SWITCHABLE) == {
        "booking_made", "booking_cancelled", "balance_changed", "low_balance", "class_reminder",
    }  # fmt: skip
    assert {name for name, kind in KINDS.items() if kind.urgent} == {
        "waitlist_offer", "waitlist_expired", "seat_taken", "payment_result", "payment_expired", "refund_result",
        "class_cancelled", "class_changed",
    }  # fmt: skip
    assert {name for name, kind in KINDS.items() if kind.cooled} == {"low_balance", "arrears"}


@pytest.mark.parametrize("name", MESSAGE_TYPES)
def test_fields_titles_and_pages_are_wechats(name):
    kind, template = KINDS[name], CATALOG[name]
    assert [(f.key, f.label) for f in kind.fields] == [(f.key, f.label) for f in template.fields]
    assert (kind.title, kind.page) == (template.title, template.page)


@pytest.mark.parametrize("name", MESSAGE_TYPES)
def test_sample_and_empty_payloads_are_taken(name):
    kind = KINDS[name]
    for payload in (sample(kind), {}):
        words = compose(kind, payload)
        assert complaint(CATALOG[name], {key: {"value": value} for key, value in words.data.items()}) is None
        assert page_exists(words.page)
        assert words.text.count("\n") == len(kind.fields) - 1
    words = compose_in_app(kind, sample(kind))
    assert "{" not in words.text
    assert words.data == {}


OCCASIONS = [(name, occasion.name) for name, kind in KINDS.items() for occasion in kind.occasions]


@pytest.mark.parametrize(("name", "occasion"), OCCASIONS)
def test_each_occasion_is_taken_says_something_else_and_mentions_only_known_facts(name, occasion):
    kind = KINDS[name]
    special = kind.occasion(occasion)
    for payload in (sample(kind, special), {"occasion": occasion}):
        words = compose(kind, payload)
        assert complaint(CATALOG[name], {key: {"value": value} for key, value in words.data.items()}) is None
    plain, words = compose(kind, sample(kind)), compose(kind, sample(kind, special))
    assert set(words.data) == set(plain.data)
    assert {key for key in words.data if words.data[key] != plain.data[key]} == set(special.words)
    assert all(kind.field(key).editable for key in special.words)
    assert all("…" not in words.data[key] for key in special.words)
    sentence = compose_in_app(kind, sample(kind, special)).text
    assert "{" not in sentence
    assert sentence != compose_in_app(kind, sample(kind)).text
    known = {fact.name for fact in kind.facts_of(special)}
    assert wording.placeholders(special.sentence).union(*map(wording.placeholders, special.words.values())) <= known


def test_the_largest_debt_fits_every_occasion():
    for name in ("arrears", "class_reminder"):
        for special in KINDS[name].occasions:
            words = compose(KINDS[name], sample(KINDS[name], special) | {"owed": "99999.99", "days": "365"})
            assert all("…" not in words.data[key] for key in special.words), (name, special.name)


@pytest.mark.parametrize("occasion", ["first", "again", "nonsense", None, 7, ["x"], ""])
def test_another_occasion_has_the_types_own_words(occasion):
    kind = KINDS["arrears"]
    assert compose(kind, {"owed": "5.00", "occasion": occasion}).data["thing2"] == "请充值后继续预约课程"
    assert compose_in_app(kind, {"owed": "5.00", "occasion": occasion}).text.startswith("您的钱包已欠费 ¥5.00，请充值")


def test_a_managers_words_for_one_occasion():
    kind, own = (
        KINDS["arrears"],
        {"refused__thing2": "欠{owed}，不能约", "refused__sentence": "请先充值", "thing2": "甲"},
    )
    refused = {"owed": "5.00", "occasion": "refused"}
    assert compose(kind, refused, own).data["thing2"] == "欠¥5.00，不能约"
    assert compose_in_app(kind, refused, own).text == "请先充值"
    assert (
        compose(kind, {"owed": "5.00", "occasion": "third", "days": 7}, own).data["thing2"] == "已欠费7天，请立即充值"
    )
    assert compose(kind, {"owed": "5.00"}, own).data["thing2"] == "甲"
    # A field that the occasion says nothing of has the type's words, the manager's too.
    reminder = compose(KINDS["class_reminder"], {"occasion": "owing", "venue": "一号馆"}, {"thing4": "在{venue}"})
    assert reminder.data["thing4"] == "在一号馆"


LONG = "少儿竞技体操与自由体操进阶提高训练班（周末上午场）"


@pytest.mark.parametrize(
    "name", ["booking_made", "booking_cancelled", "class_reminder", "class_cancelled", "makeup_credit"]
)
def test_long_names_are_cut_for_wechat_and_whole_in_the_app(name):
    kind = KINDS[name]
    student, venue, reason = (
        "阿卜杜拉·买买提江·吐尔逊那依·古丽米热",
        "百适体操馆二号馆三层东侧平衡木与高低杠区",
        "教练突发急性肠胃炎需要就医，无法到场授课",
    )
    payload = sample(kind) | {"course": LONG, "student": student, "venue": venue, "reason": reason, "remark": LONG}
    for special in (None, *kind.occasions):
        words = compose(kind, payload | ({"occasion": special.name} if special else {}))
        assert complaint(CATALOG[name], {key: {"value": value} for key, value in words.data.items()}) is None
        assert words.data["thing1"] == LONG[:19] + "…"
        assert len(words.data["thing3"]) <= 20
        sentence = compose_in_app(kind, payload).text
        assert LONG in sentence
        assert student in sentence


@pytest.mark.parametrize("name", MESSAGE_TYPES)
def test_wordings_mention_only_known_facts(name):
    kind = KINDS[name]
    known = {fact.name for fact in kind.facts}
    mentioned = wording.placeholders(kind.sentence).union(*(wording.placeholders(f.wording) for f in kind.fields))
    assert mentioned <= known
    assert not wording.loose_braces(kind.sentence)


TEXT = st.text(max_size=80)
KEYS = ["thing1", "number2", "letter3", "character_string5", "amount6", "phrase7", "name8", "phone_number9"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KEYS), TEXT)
def test_whatever_is_typed_fits(key, text):
    assert accepts(key, fit(key, text)), (key, text, fit(key, text))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(["course", "student", "reason", "remark",
       "venue", "item", "result", "change", "minutes", "amount", "balance", "owed"]), TEXT))  # fmt: skip
def test_hostile_facts_never_break_a_message(name, payload):
    words = compose(KINDS[name], payload)
    data = {key: {"value": value} for key, value in words.data.items()}
    assert complaint(CATALOG[name], data) is None


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("thing1", "短", "短"),
        ("thing1", "一二三四五六七八九十一二三四五六七八九十", "一二三四五六七八九十一二三四五六七八九十"),
        ("thing1", "一二三四五六七八九十一二三四五六七八九十超", "一二三四五六七八九十一二三四五六七八九…"),
        ("thing1", "两行\n\t文字", "两行 文字"),
        ("thing1", "\u202e倒\u0000着", "倒着"),
        ("thing1", "", "无"),
        ("thing1", "👨‍👩‍👧" * 10, "👨👩👧👨👩👧👨👩👧…"),
        ("amount2", "-¥200.00", "¥0.00"),
        ("amount2", "¥99999999.99", "¥99999999.99"),
        ("amount2", "不是数", "¥0.00"),
        ("number2", "30 分钟", "30"),
        ("number2", "无", "0"),
        ("phrase3", "支付成功了呀呀", "支付成功了"),
        ("phrase3", "ok", "无"),
        ("character_string1", "订单ABC-1", "ABC-1"),
        ("character_string1", "中文", "-"),
        ("letter1", "a1b", "ab"),
        ("name1", "欧阳" * 8, "欧阳" * 5),
        ("name1", "A" * 30, "A" * 20),
        ("phone_number1", "电话 13812345678", "13812345678"),
    ],
)
def test_cutting_by_type(key, text, expected):
    assert fit(key, text) == expected


def test_cut_counts_as_wechat_does():
    assert cut("😀" * 10, 20) == "😀" * 10
    assert cut("😀" * 11, 20) == "😀" * 9 + "…"


def test_facts_are_written_for_people():
    kind = KINDS["balance_changed"]
    facts = wording.written(kind, {"amount": "1234.5", "balance": "-80.00", "time": "2026-11-20T16:30:00+00:00"})
    assert facts["amount"] == "¥1234.50"
    assert facts["balance"] == "-¥80.00"
    assert facts["time"] == "2026年11月21日 00:30"
    assert facts["remark"] == ""


def test_dates_are_written_for_people():
    facts = wording.written(KINDS["makeup_credit"], {"expires_on": "2027-01-09"})
    assert facts["expires_on"] == "2027年01月09日"


def test_a_negative_balance_never_loses_its_sign_silently():
    payload = sample(KINDS["balance_changed"]) | {"balance": "-80.00", "remark": "已欠费¥80.00"}
    words = compose(KINDS["balance_changed"], payload)
    assert words.data["amount3"] == "¥0.00"
    assert words.data["thing5"] == "已欠费¥80.00"
    assert "当前余额 -¥80.00" in compose_in_app(KINDS["balance_changed"], payload).text


def test_the_offers_text_is_the_studios_in_wechat_and_in_the_app():
    kind = KINDS["waitlist_offer"]
    for minutes in ("1", "15", "1440"):
        facts = sample(kind) | {"minutes": minutes}
        text = f"确认预约？还剩{minutes}分钟决策时间"
        assert compose(kind, facts).data["thing5"] == text
        assert text in compose_in_app(kind, facts).text


def test_a_managers_words_stand_for_the_built_in_ones_in_editable_fields_only():
    kind = KINDS["arrears"]
    words = compose(kind, {"owed": "5.00"}, {"thing2": "欠{owed}，请充值", "amount1": "改不了"})
    assert words.data["thing2"] == "欠¥5.00，请充值"
    assert words.data["amount1"] == "¥5.00"
    assert compose_in_app(kind, {"owed": "5.00"}, {"sentence": "欠 {owed}"}).text == "欠 ¥5.00"


def test_a_wording_cannot_reach_into_objects():
    assert wording.fill("{owed.__class__}{0}{owed!r}", {"owed": "x"}) == "{owed.__class__}{0}{owed!r}"


def test_every_movement_of_money_has_its_word():
    from app.domain.ledger.models import TransactionType

    assert set(CHANGES) == {str(t) for t in TransactionType}
    assert Form.MONEY in {fact.form for fact in KINDS["balance_changed"].facts}
