"""A round of messages to parents: from the commit to the provider's answer, by real worker processes over HTTP, with
the provider taking its time for each (N1)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from app import clock, redis
from app.config import FEISHU_GROUPS
from app.db import db, install_doorbell, transaction
from app.domain.outbox import service
from app.domain.outbox.models import MessageConsent, Notification, Status
from app.domain.people.models import Family, User
from app.doorbell import ring
from bench.context import Context, Row
from bench.http import ROOT
from sandbox.testing import RunningSandbox, running_sandbox
from tests.conftest import _KEYS, make_settings

TITLE = "Messages"
ROUND = 500
WORKERS = 4
#: what WeChat takes for an answer, in seconds
DELAY = 0.05
FACTS = {
    "course": "启蒙课",
    "amount": "200.00",
    "result": "支付成功",
    "time": "2026-11-20T11:00:00+00:00",
    "remark": "好",
}


def run(context: Context) -> list[Row]:
    with running_sandbox() as sandbox, processes(context, sandbox):
        families = _families(sandbox, ROUND + 41)
        _send(families[:40])  # the processes are up and have their token
        await_sent(40, 120)
        sandbox.set_fault("wechat", slow=DELAY)
        one = _send(families[40:41])
        await_sent(41, 30)
        alone = taken_after(one)[0]
        began = _send(families[41:])
        await_sent(ROUND + 41, 120)
        taken = taken_after(began)
    return [
        Row("one message, commit → the provider's answer", f"its own delay: {DELAY:.2f} s", f"{alone:.2f} s", None,
            "< 2 s", alone < 2),
        whole_round(f"round of {ROUND}, the last one", taken),
    ]  # fmt: skip


def whole_round(what: str, taken: list[float]) -> Row:
    """The row of a round whose answers came so many seconds after its commit."""
    p95, last = taken[int(len(taken) * 0.95)], taken[-1]
    floor = ROUND * DELAY / WORKERS
    return Row(what, f"delay × {ROUND} ÷ {WORKERS} processes: {floor:.2f} s", f"{last:.2f} s; p95 {p95:.2f} s",
               last / floor, "< 10 s", last < 10)  # fmt: skip


@contextmanager
def processes(context: Context, sandbox: RunningSandbox) -> Iterator[None]:
    """Worker and scheduler on the context's database, and an application context whose commits ring for them."""
    environ = {
        **_KEYS, "DESK_ENV": "development", "DESK_DATABASE_URL": context.database.url,
        "DESK_INSTANCE_DIR": str(context.instance), "DESK_REDIS_URL": "embedded",
        "DESK_WECHAT_API_URL": sandbox.url,
        **{f"DESK_FEISHU_{group.upper()}_URL": sandbox.hook_url(group) for group in FEISHU_GROUPS},
    }  # fmt: skip
    settings = make_settings(context.database.url, context.instance, **environ)
    context.app.extensions["desk.settings"] = settings
    flask = [sys.executable, "-m", "flask", "--app", "wsgi"]
    how = {"cwd": ROOT, "env": {**os.environ, **environ}, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # As in production: who commits a round rings for a fifth of a second, the sweep hands over the rest.
    started = [
        subprocess.Popen([*flask, "worker", "--processes", str(WORKERS)], **how),
        subprocess.Popen([*flask, "scheduler"], **how),
    ]
    try:
        with context.app.app_context():
            install_doorbell(ring)
            yield
            redis.forget()
            db.session.remove()
    finally:
        install_doorbell(None)
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)
        redis.stop_embedded(settings)


def _families(sandbox, count: int) -> list[int]:
    """Families of one parent each, who allows the message."""
    made = []
    with transaction():
        for number in range(count):
            family = Family(name=f"家庭{number}", created_at=clock.now())
            db.session.add(family)
            db.session.flush()
            user = User(family_id=family.id, openid=f"bench-message-{number}", registered_at=clock.now())
            db.session.add(user)
            db.session.flush()
            db.session.add(MessageConsent(user_id=user.id, type="payment_result", remaining=9, updated_at=clock.now()))
            sandbox.consent(user.openid, "payment_result", 9)
            made.append(family.id)
    return made


def _send(families: list[int]):
    """Tell all of these families in one transaction; the moment of its COMMIT."""
    with transaction():
        for family_id in families:
            service.tell_family(family_id, "payment_result", FACTS, dedupe=f"bench-{family_id}")
    return clock.now()


def await_sent(count: int, seconds: float, type: str = "payment_result") -> None:
    end = time.monotonic() + seconds
    sent = sa.select(sa.func.count()).select_from(Notification)
    sent = sent.where(Notification.status == Status.SENT, Notification.type == type)
    while db.session.scalar(sent) < count:
        db.session.rollback()
        if time.monotonic() > end:
            raise SystemExit("the messages did not arrive")
        time.sleep(0.05)
    db.session.rollback()


def taken_after(committed) -> list[float]:
    """Seconds from this COMMIT to each answer that came after it, ascending."""
    rows = db.session.scalars(sa.select(Notification.sent_at).where(Notification.sent_at > committed)).all()
    db.session.rollback()
    return sorted((moment - committed).total_seconds() for moment in rows)
