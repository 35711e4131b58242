"""Money that demo parents asked to have back, in every state."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from app import clock
from app.cli.demo.names import household
from app.cli.demo.people import Happening, Made
from app.cli.demo.pictures import receipt
from app.db import RequestKey
from app.domain.audit.actor import Actor, ActorType
from app.domain.withdrawals import asking, deciding
from app.flows import receipts
from app.flows.receipts import Upload


@dataclass(frozen=True, slots=True)
class Scene:
    """One withdrawal: when it was asked for (hours ago), by which family, how much, why, and how it went on."""

    hours_ago: int
    family: int
    amount: str
    reason: str
    end: str = ""


SCENES = (
    Scene(100, 8, "600.00", "孩子转学，剩余课时不上了", "approve pay:alipay"),
    Scene(80, 2, "200.00", "多充了一笔", "approve pay:cash"),
    Scene(60, 6, "500.00", "想改用套餐", "reject:套餐优惠期内不能退，详情请咨询前台"),
    Scene(52, 8, "300.00", "换一张卡收款", "approve fail:银行退回，账号与户名不符"),
    Scene(30, 6, "100.00", "填错了", "cancel"),
    Scene(27, 8, "450.00", "孩子受伤休养半年"),
    Scene(5, 2, "150.00", "弟弟不再上课", "approve"),
    Scene(2, 6, "320.00", "暂时不上课了"),
)


def happenings(families: dict[int, Made], actors: dict[str, Actor]) -> Iterator[Happening]:
    """Each asking and each step after it, as a moment and what to do at it."""
    now = clock.now()
    asked: dict[int, int] = {}
    for number, scene in enumerate(SCENES):
        if scene.family not in families:
            continue
        moment = now - timedelta(hours=scene.hours_ago)
        made, home = families[scene.family], household(scene.family)
        parent = Actor(type=ActorType.PARENT, id=made.user_id, name=home.parent, family_id=made.family_id)
        yield moment, partial(_ask, number, scene, parent, asked, moment)
        for step, act in enumerate(scene.end.split(), 1):
            later = moment + timedelta(minutes=40 * step)
            yield later, partial(_step, act, number, scene, parent, asked, actors, later)


def _ask(number: int, scene: Scene, parent: Actor, asked: dict[int, int], moment: datetime) -> None:
    with clock.travel(to=moment):
        asked[number] = asking.request(
            amount=Decimal(scene.amount), reason=scene.reason, actor=parent,
            request_key=RequestKey("demo", f"withdrawal-{number}", RequestKey.digest(number)),
        )  # fmt: skip


def _step(
    act: str, number: int, scene: Scene, parent: Actor, asked: dict[int, int], actors: dict[str, Actor],
    moment: datetime,
) -> None:  # fmt: skip
    with clock.travel(to=moment):
        _act(act, asked[number], parent, actors, scene, number)


def _act(act: str, asked: int, parent: Actor, actors: dict[str, Actor], scene: Scene, number: int) -> None:
    name, _, rest = act.partition(":")
    if name == "approve":
        deciding.approve(withdrawal_id=asked, actor=actors["caiwu"])
    elif name == "reject":
        deciding.reject(withdrawal_id=asked, note=rest, actor=actors["dianzhang"])
    elif name == "fail":
        deciding.fail(withdrawal_id=asked, note=rest, actor=actors["dianzhang"])
    elif name == "cancel":
        asking.cancel(withdrawal_id=asked, actor=parent)
    elif rest == "cash":
        note = f"沈志远在前台当面交给{parent.name}"
        deciding.pay(withdrawal_id=asked, method="cash", note=note, actor=actors["dianzhang"])
    else:
        external_no = f"5300{number:04d}{clock.now():%Y%m%d%H%M}"
        picture = receipt(rest, scene.amount, external_no, f"{clock.local(clock.now()):%Y-%m-%d %H:%M}", 900 + number)
        files = receipts.keep([Upload(f"{number}.png", io.BytesIO(picture))], actor=actors["dianzhang"])
        deciding.pay(withdrawal_id=asked, method=rest, external_no=external_no, receipts_given=files,
                     actor=actors["dianzhang"])  # fmt: skip
