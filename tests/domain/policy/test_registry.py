"""The table of policy figures (R9, 96.1)."""

from __future__ import annotations

import re
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.config import ROOT
from app.domain.policy import registry
from app.domain.policy.registry import GROUPS, POLICIES

# The names and defaults that outsiders rely on (96.1).
PROMISED = {
    "access_token_ttl": "2h", "refresh_token_ttl": "30d", "order_ttl": "30m", "hold_ttl": "15m",
    "callback_max_age": "5m", "overdraft_limit": "1000.00", "low_balance_threshold": "200.00",
    "arrears_block_threshold": "600.00", "booking_cancel_cutoff": "6h", "makeup_cancel_cutoff": "6h",
    "waitlist_window": "15m", "waitlist_begin_grace": "5m", "waitlist_cutoff": "6h", "waitlist_quiet_hours": "off",
    "quiet_hours": "21:30-08:00", "balance_message_cooldown": "24h", "notification_max_attempts": "6",
    "makeup_credit_ttl": "60d", "compensation_unit": "15m", "compensation_ttl": "14d",
    "compensation_return_min": "24h", "adjustment_direct_limit": "2000.00", "adjustment_daily_limit": "10000.00",
    "adjustment_family_daily_limit": "2000.00", "front_desk_ask_limit": "2000.00",
    "adjustment_type_amount_from": "1000.00", "step_up_ttl": "10m", "receipt_max_bytes": "10485760",
    "shipping_info": "off", "prepayment_guard": "off",
}  # fmt: skip
MONEY_AND_APPROVAL = {
    "overdraft_limit", "arrears_block_threshold", "adjustment_direct_limit", "front_desk_ask_limit",
    "adjustment_family_daily_limit", "adjustment_daily_limit", "totp_required", "step_up_ttl",
    "adjustment_approval_ttl",
}  # fmt: skip


def test_promised_names_have_their_defaults():
    assert {name: POLICIES[name].default for name in PROMISED} == PROMISED


def test_money_limits_take_two_people():
    assert {name for name, policy in POLICIES.items() if policy.guarded} >= MONEY_AND_APPROVAL


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.name)
def test_each_default_is_a_value_and_each_group_is_known(policy):
    policy.parse(policy.default)
    assert policy.group in GROUPS
    assert policy.unit
    assert policy.description


def test_every_figure_that_the_code_asks_for_exists():
    asked = set()
    for file in (*Path(ROOT / "app").rglob("*.py"), *Path(ROOT / "tasks").rglob("*.py")):
        asked |= set(re.findall(r'policy\.(?:get|text)\(\s*"(\w+)"', file.read_text(encoding="utf-8")))
    assert asked
    assert asked <= set(POLICIES)


@pytest.mark.parametrize(
    ("text", "value"),
    [("90s", timedelta(seconds=90)), ("15m", timedelta(minutes=15)), ("6h", timedelta(hours=6)),
     ("60d", timedelta(days=60)), ("1s", timedelta(seconds=1)), ("3650d", timedelta(days=3650))],
)  # fmt: skip
def test_duration(text, value):
    assert registry.duration(text) == value


@pytest.mark.parametrize(
    "text", ["", "0s", "15", "m", "1.5h", "-1h", "15 m", "15M", "１５m", "3651d", "9999999d", "1w"]
)
def test_duration_refuses(text):
    with pytest.raises(ValueError):
        registry.duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("off", None), ("21:30-08:00", (time(21, 30), time(8))), ("00:00-23:59", (time(0), time(23, 59)))],
)
def test_hours_of_day(text, value):
    assert registry.hours_of_day(text) == value


@pytest.mark.parametrize("text", ["", "on", "21:30", "24:00-08:00", "8:00-9:00", "08:00-08:00", "21:30-08:00 "])
def test_hours_of_day_refuses(text):
    with pytest.raises(ValueError):
        registry.hours_of_day(text)


@pytest.mark.parametrize("text", ["", "-1.00", "1e3", "1,000.00", "1.005", "NaN", "１００"])
def test_amount_refuses(text):
    assert registry.amount("1000.00") == Decimal("1000.00")
    with pytest.raises(ValueError):
        registry.amount(text)


@pytest.mark.parametrize("text", ["", "ON", "true", "1"])
def test_switch_refuses(text):
    assert (registry.switch("on"), registry.switch("off")) == (True, False)
    with pytest.raises(ValueError):
        registry.switch(text)


@pytest.mark.parametrize("text", ["", "0", "21", "1.5", "-3", "１０"])
def test_count_refuses(text):
    parse = registry.count(1, 20)
    assert parse("20") == 20
    with pytest.raises(ValueError):
        parse(text)


def test_one_of():
    parse = registry.one_of("a", "b")
    assert parse("a") == "a"
    with pytest.raises(ValueError):
        parse("c")
