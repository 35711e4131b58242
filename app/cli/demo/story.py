"""What happened at the desk in the last days: adjustments in every state, wallets in every state, some messages."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import sqlalchemy as sa

from app import clock
from app.cli.demo.people import Happening, Made, status
from app.cli.demo.pictures import receipt
from app.db import RequestKey, db, transactional
from app.domain.audit.actor import Actor
from app.domain.desk import adjustments, approvals, rules, undo
from app.domain.ledger import control
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.people.models import MemberStatus
from app.flows import receipts
from app.flows.receipts import Upload

#: the balance that each told family's history ends at; the others are normal
BALANCES = {
    1: "120.00", 2: "860.00", 3: "-300.00", 4: "-680.00", 5: "800.00", 6: "1540.00", 7: "60.00", 8: "2300.00",
    12: "-120.00", 15: "180.00", 19: "-40.00", 21: "0.00", 27: "-640.00", 33: "90.00", 38: "-520.00", 45: "140.00",
}  # fmt: skip
CLOSED, FROZEN, BYPASSED, OWN_LIMIT = 21, 5, 27, 8


@dataclass(frozen=True, slots=True)
class Scene:
    """One adjustment: when (days and hour, studio time), who for whom, what, and how it ended."""

    days_ago: int
    hour: int
    family: int
    who: str
    amount: str
    type: str
    method: str
    reason: str
    note: str
    end: str = ""


SCENES = (
    Scene(6, 10, 2, "caiwu", "1000.00", "recharge", "wechat_transfer", "offline_recharge", "家长到店，微信转账"),
    Scene(6, 15, 10, "caiwu", "2000.00", "recharge", "cash", "offline_recharge", "前台收现金，已入保险柜"),
    Scene(5, 11, 14, "qiantai", "1500.00", "recharge", "pos", "package_recharge", "秋季套餐", "approve:caiwu"),
    Scene(5, 16, 6, "caiwu", "-200.00", "correction", "none", "wrong_amount", "上周多录了一次", "approve:dianzhang"),
    Scene(4, 10, 8, "caiwu", "6000.00", "recharge", "bank_transfer", "package_recharge", "年度套餐",
          "approve:dianzhang"),
    Scene(4, 14, 11, "caiwu", "300.00", "gift", "none", "referral", "介绍吕先生家庭入会", "approve:fudian"),
    Scene(4, 17, 16, "qiantai", "800.00", "recharge", "alipay", "offline_recharge", "支付宝转账",
          "reject:caiwu:截图金额与填写不一致"),
    Scene(3, 11, 18, "caiwu", "500.00", "recharge", "cash", "offline_recharge", "现金", "undo"),
    Scene(3, 15, 22, "dianzhang", "400.00", "top_up", "none", "price_difference", "课程差价退回"),
    Scene(3, 16, 24, "qiantai", "600.00", "recharge", "cash", "offline_recharge", "现金",
          "withdraw:家长改为下次再交"),
    Scene(2, 10, 30, "caiwu", "1200.00", "recharge", "alipay", "offline_recharge", "支付宝转账"),
    Scene(2, 14, 36, "caiwu", "100.00", "gift", "none", "apology", "停电补偿", "reject:dianzhang:请附店长批示"),
    Scene(2, 18, 40, "qiantai", "2000.00", "recharge", "wechat_transfer", "package_recharge", "寒假套餐", "lapse"),
    Scene(1, 10, 28, "caiwu", "1000.00", "recharge", "pos", "offline_recharge", "刷卡"),
    Scene(1, 16, 31, "caiwu", "1800.00", "recharge", "bank_transfer", "offline_recharge", "家长说已转账，回单明天补",
          "no_receipt"),
    Scene(0, -5, 3, "qiantai", "500.00", "recharge", "wechat_transfer", "offline_recharge", "家长补交欠费"),
    Scene(0, -4, 17, "caiwu", "5000.00", "recharge", "bank_transfer", "package_recharge", "年度套餐，公司转账"),
    Scene(0, -3, 20, "caiwu", "-150.00", "correction", "none", "duplicate", "与 11 日重复入账"),
    Scene(0, -3, 26, "qiantai", "200.00", "gift", "none", "promotion", "开学季活动"),
    Scene(0, -2, 34, "qiantai", "900.00", "recharge", "wechat_transfer", "offline_recharge", "截图稍后补",
          "no_receipt"),
    Scene(0, -2, 9, "caiwu", "1000.00", "recharge", "wechat_transfer", "offline_recharge", "微信转账"),
    Scene(0, -1, 13, "caiwu", "600.00", "recharge", "cash", "offline_recharge", "现金"),
)  # fmt: skip


def balance(number: int) -> Decimal:
    """What this family's history ends at."""
    return Decimal(BALANCES.get(number, f"{200 * (1 + number * 7 % 14)}.00"))


def without_classes(families: dict[int, Made]) -> set[int]:
    """Whose wallet is closed or frozen, or who has left the studio."""
    return {CLOSED, FROZEN} | {number for number in families if status(number) == MemberStatus.LEFT}


def happenings(families: dict[int, Made], actors: dict[str, Actor]) -> Iterator[Happening]:
    """Everything that staff did, each as a moment and what to do at it."""
    now = clock.now()
    today = clock.local(now).replace(hour=0, minute=0, second=0, microsecond=0)
    asked: dict[int, int] = {}
    yield now - timedelta(days=7), partial(_control, families, actors["dianzhang"])
    yield now, partial(_let_pass, families, actors["dianzhang"])
    for number, scene in enumerate(SCENES):
        if scene.hour < 0:
            moment = now + timedelta(hours=scene.hour, minutes=number)
        else:
            moment = today - timedelta(days=scene.days_ago) + timedelta(hours=scene.hour, minutes=number * 7 % 60)
        if scene.family in families:
            yield moment, partial(_scene, number, scene, families[scene.family], actors, asked, moment)
            later = moment + timedelta(minutes=5)
            yield later, partial(_end, number, scene, actors, asked, later)
    yield now, approvals.lapse_due


def _control(families: dict[int, Made], manager: Actor) -> None:
    with clock.travel(to=clock.now() - timedelta(days=7)):
        if CLOSED in families:
            control.close(family_id=families[CLOSED].family_id, reason="家庭搬离本市，余额已结清", actor=manager)
        if FROZEN in families:
            control.freeze(family_id=families[FROZEN].family_id, reason="家长申请暂停，监护权变更核实中", actor=manager)
        if OWN_LIMIT in families:
            control.set_overdraft_limit(
                family_id=families[OWN_LIMIT].family_id,
                limit=Decimal("2000.00"),
                reason="双胞胎家庭，按月结算",
                actor=manager,
            )


def _let_pass(families: dict[int, Made], manager: Actor) -> None:
    if BYPASSED in families:
        until = clock.today() + timedelta(days=10)
        control.grant_bypass(
            family_id=families[BYPASSED].family_id, until=until, reason="家长承诺本月底前补交", actor=manager
        )


def _scene(
    number: int, scene: Scene, made: Made, actors: dict[str, Actor], asked: dict[int, int], moment: datetime
) -> None:
    actor = actors[scene.who]
    given = Decimal(scene.amount)
    paid = scene.method not in ("cash", "none")
    wish = rules.checked_wish(
        direction=rules.INCREASE if given > 0 else rules.DECREASE, amount=abs(given), type=scene.type,
        payment_method=scene.method, reason_code=scene.reason, note=scene.note,
        external_no=f"4200{number:04d}{moment:%Y%m%d%H%M}" if paid else "",
    )  # fmt: skip
    with clock.travel(to=moment):
        files = []
        if paid and scene.end != "no_receipt":
            picture = receipt(scene.method, scene.amount, wish.external_no, f"{moment:%Y-%m-%d %H:%M}", number)
            files = receipts.keep([Upload(f"{number}.png", io.BytesIO(picture))], actor=actor)
        done = adjustments.ask(
            family_id=made.family_id, wish=wish, actor=actor, receipts_given=files, form_seconds=18 + number * 5 % 40,
            request_key=RequestKey("demo", f"scene-{number}", RequestKey.digest(number)),
        )  # fmt: skip
    asked[number] = done.adjustment_id


def _end(number: int, scene: Scene, actors: dict[str, Actor], asked: dict[int, int], moment: datetime) -> None:
    act, _, rest = scene.end.partition(":")
    who, _, words = rest.partition(":")
    adjustment_id, author = asked[number], actors[scene.who]
    with clock.travel(to=moment):
        if act == "approve":
            approvals.approve(adjustment_id=adjustment_id, actor=actors[who])
        elif act == "reject":
            approvals.reject(adjustment_id=adjustment_id, reason=words, actor=actors[who])
        elif act == "withdraw":
            adjustments.withdraw(adjustment_id=adjustment_id, reason=rest, actor=author)
        elif act == "undo":
            undo.undo(adjustment_id=adjustment_id, actor=author)


@transactional
def settle_messages() -> None:
    """What was said in the past was delivered then, and to parents whose phone nobody plays at once: only today's
    cards wait for the worker. One failed on its way, so that the notification centre has something to send again."""
    table = Notification.__table__
    old = clock.now() - timedelta(hours=6)
    past = sa.or_(table.c.created_at < old, table.c.channel == Channel.WECHAT)
    waiting = sa.and_(table.c.status == Status.PENDING, past)
    last = db.session.scalar(sa.select(sa.func.max(table.c.id)).where(waiting, table.c.channel == Channel.FEISHU))
    db.session.execute(
        table.update().where(waiting, table.c.id != (last or 0))
        .values(status=Status.SENT, sent_at=table.c.created_at, attempts=1, next_attempt_at=None)
    )  # fmt: skip
    db.session.execute(
        table.update().where(table.c.id == (last or 0))
        .values(status=Status.FAILED, attempts=6, next_attempt_at=None, error_code="network",
                error="飞书没有应答，重试 6 次后放弃")
    )  # fmt: skip
