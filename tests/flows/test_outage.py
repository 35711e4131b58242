"""A database that is away is told past the outbox: once, after a while, and when it is back (Z11)."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest

from app.flows import outage
from app.flows.outage import AGAIN, PATIENCE, Outage
from app.gateways import feishu
from app.gateways.errors import Temporary


@pytest.fixture
def world(app, monkeypatch):
    """What was sent, and the hands of a clock; `broken` makes Feishu refuse."""
    world = SimpleNamespace(sent=[], now=1000.0, broken=False)
    settings = app.extensions["desk.settings"]
    bot = dataclasses.replace(settings.feishu["system"], url="https://open.feishu.cn/hook/x", secret="s")
    changed = dataclasses.replace(settings, feishu={**settings.feishu, "system": bot})
    monkeypatch.setitem(app.extensions, "desk.settings", changed)

    def send(url, secret, body):
        if world.broken:
            raise Temporary("feishu.card", "500", "")
        world.sent.append(json.dumps(body, ensure_ascii=False))

    monkeypatch.setattr(feishu, "send", send)
    monkeypatch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: world.now))
    return world


def test_minutes_are_told_once_and_so_is_the_end(world):
    one = Outage()
    one.away()
    world.now += PATIENCE - 1
    one.away()
    assert world.sent == []
    for _ in range(5):
        world.now += AGAIN
        one.away()
    assert len(world.sent) == 1
    assert "数据库连接不上" in world.sent[0]
    world.now += AGAIN
    one.back()
    one.back()
    assert len(world.sent) == 2
    assert "已恢复" in world.sent[1]
    assert "7 分钟" in world.sent[1]


def test_a_moment_is_not_worth_a_card(world):
    one = Outage()
    for _ in range(5):
        one.away()
        world.now += PATIENCE - 1
        one.back()
    assert world.sent == []


def test_what_feishu_did_not_take_is_tried_again_and_not_in_a_storm(world):
    one, world.broken = Outage(), True
    one.away()
    world.now += PATIENCE
    one.away()
    world.broken = False
    world.now += AGAIN - 1
    one.away()
    assert world.sent == []
    world.now += 1
    one.away()
    assert len(world.sent) == 1
