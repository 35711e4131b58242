"""How figures and times are written, and that the label table knows every state of the domain."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import pytest

from app import clock
from app.domain.audit.actor import ActorType
from app.domain.desk.models import AdjustmentCause, AdjustmentStatus, AdjustmentType, PaymentMethod
from app.domain.ledger.models import TransactionType, WalletStatus
from app.domain.outbox.models import Channel, Status
from app.domain.people.models import MemberStatus, ProfileStatus, StaffStatus
from app.domain.people.roles import Permission, Role
from app.web import filters, labels, navigation

NOON = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai, a Saturday


@pytest.fixture
def noon():
    with clock.travel(to=NOON):
        yield


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1234.50"), "¥1,234.50"),
        (Decimal("-200"), "-¥200.00"),
        (Decimal("0"), "¥0.00"),
        (Decimal("99999999.99"), "¥99,999,999.99"),
        (None, "—"),
    ],
)
def test_money(value, text):
    assert filters.money(value) == text


def test_signed_money_shows_plus_only_above_zero():
    assert filters.money(Decimal("500"), signed=True) == "+¥500.00"
    assert filters.money(Decimal("0"), signed=True) == "¥0.00"
    assert filters.money(Decimal("-500"), signed=True) == "-¥500.00"


def test_money_refuses_a_float():
    with pytest.raises(TypeError):
        filters.money(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 21, 11, 0, tzinfo=UTC), "今天 19:00"),
        (datetime(2026, 11, 21, 15, 59, tzinfo=UTC), "今天 23:59"),
        (datetime(2026, 11, 21, 16, 0, tzinfo=UTC), "明天 00:00"),
        (datetime(2026, 11, 20, 15, 59, tzinfo=UTC), "昨天 23:59"),
        (datetime(2026, 11, 25, 1, 30, tzinfo=UTC), "11月25日 周三 09:30"),
        (datetime(2025, 12, 31, 16, 0, tzinfo=UTC), "1月1日 周四 00:00"),
        (datetime(2025, 12, 31, 15, 0, tzinfo=UTC), "2025年12月31日 周三 23:00"),
        (None, "—"),
    ],
)
def test_when_follows_the_studio_day(noon, moment, text):
    assert filters.when(moment) == text


def test_day_takes_dates(noon):
    assert filters.day(date(2026, 11, 21)) == "今天"
    assert filters.day(date(2026, 11, 25)) == "11月25日 周三"
    assert filters.day(date(2027, 1, 3)) == "2027年1月3日 周日"


def test_full_time():
    assert filters.full_time(NOON + timedelta(seconds=5)) == "2026年11月21日 周六 12:00:05"
    assert filters.full_time(date(2026, 11, 25)) == "2026年11月25日 周三"


def test_a_naive_time_is_refused(noon):
    with pytest.raises(ValueError, match="naive"):
        filters.when(datetime(2026, 11, 21, 12, 0))


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=59), "刚刚"),
        (timedelta(seconds=-30), "刚刚"),
        (timedelta(minutes=5), "5 分钟前"),
        (timedelta(hours=47), "47 小时前"),
        (timedelta(days=6), "6 天前"),
    ],
)
def test_ago(noon, age, text):
    assert filters.ago(NOON - age) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.953"), "95.3%"),
        (Decimal("0.5"), "50%"),
        (Decimal("0.0005"), "0.1%"),
        (Decimal("1"), "100%"),
        (None, "—"),
    ],
)
def test_percent(value, text):
    assert filters.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234, "1,234"), (9999, "9,999"), (10000, "10000+"), (None, "—")]
)
def test_count_is_capped(value, text):
    assert filters.count(value) == text


@pytest.mark.parametrize(("size", "text"), [(812, "812 B"), (36_900, "36 KB"), (1_258_291, "1.2 MB"), (None, "—")])
def test_filesize(size, text):
    assert filters.filesize(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45, "45 秒"),
        (725, "12 分 05 秒"),
        (12_000, "3 小时 20 分"),
        (3600, "1 小时"),
        (187_200, "2 天 4 小时"),
        (-5, "0 秒"),
    ],
)
def test_duration(seconds, text):
    assert filters.duration(seconds) == text


def test_diff_rows_says_what_changed():
    rows = filters.diff_rows({"a": 1, "b": 2, "c": None}, {"b": 3, "c": None, "d": True})
    assert rows == [
        ("a", "1", "—", "removed"),
        ("b", "2", "3", "changed"),
        ("c", "—", "—", "same"),
        ("d", "—", "是", "added"),
    ]


ENUMS: list[tuple[str, type[StrEnum]]] = [
    ("wallet_status", WalletStatus),
    ("transaction_type", TransactionType),
    ("adjustment_status", AdjustmentStatus),
    ("adjustment_cause", AdjustmentCause),
    ("adjustment_type", AdjustmentType),
    ("payment_method", PaymentMethod),
    ("notification_status", Status),
    ("notification_channel", Channel),
    ("member_status", MemberStatus),
    ("profile_status", ProfileStatus),
    ("staff_status", StaffStatus),
    ("staff_role", Role),
    ("actor_type", ActorType),
]


@pytest.mark.parametrize(("kind", "states"), ENUMS, ids=[kind for kind, _ in ENUMS])
def test_every_state_has_a_word(kind, states):
    assert {str(state) for state in states} <= set(labels.LABELS[kind])


def test_every_tone_is_known_and_every_word_is_said():
    for table in labels.LABELS.values():
        for entry in table.values():
            assert entry.tone in labels.TONES
            assert entry.word


def test_labels_take_enums_none_and_the_unknown():
    assert labels.label("wallet_status", WalletStatus.FROZEN) == ("已冻结", "danger")
    assert labels.label("wallet_status", None) == ("—", "ended")
    assert labels.label("wallet_status", "brand_new") == ("brand_new", "plain")
    with pytest.raises(KeyError):
        labels.label("no_such_kind", "x")


def test_navigation_shows_only_what_exists_and_is_allowed():
    groups = navigation.visible_groups(
        lambda permission: permission != "adjustment.view",
        {"home.today", "desk.approvals", "desk.adjustments"},
        {"approvals": 3},
    )
    assert [(group.key, [item.endpoint for item in group.items]) for group in groups] == [
        ("work", ["home.today", "desk.approvals"])
    ]
    assert groups[0].count == 3


def test_navigation_names_real_permissions():
    known = {str(permission) for permission in Permission}
    assert {item.permission for group in navigation.GROUPS for item in group.items} <= known
