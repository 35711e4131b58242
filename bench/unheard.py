"""Two hundred trial orders are paid and WeChat Pay tells nobody: the scheduler's questions settle all of them. Then its
questions fail as well: the daily bill settles the next two hundred (I-25).

    python -m bench.unheard --orders 200
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.actor import Actor, ActorType, system
from app.domain.catalog.models import CourseSchedule, CourseType
from app.domain.orders import checkout
from app.domain.orders.models import PaymentOrder, PaymentTransaction
from app.flows import payments
from bench.http import ROOT, _environ
from bench.parents import make_parents, make_sessions
from sandbox.testing import running_sandbox
from tests.conftest import build_app, make_settings, pay_environ, pay_folder
from tests.databases import FreshDatabase

QUERY = "/v3/pay/transactions/out-trade-no/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--engine", choices=("mysql", "sqlite"), default="mysql")
    asked = parser.parse_args()
    database = FreshDatabase(asked.engine, "unheard")
    with tempfile.TemporaryDirectory() as folder, running_sandbox(pay_keys=pay_folder()) as sandbox:
        app = build_app(database, Path(folder))
        environ = _environ(SimpleNamespace(database=database, instance=Path(folder))) | pay_environ()
        environ |= {"DESK_WXPAY_API_URL": sandbox.url, "DESK_WECHAT_APPID": sandbox.state.appid}
        wanted = {name: value for name, value in environ.items() if name.startswith("DESK_W")}
        app.extensions["desk.settings"] = make_settings(database.url, Path(folder), **wanted)
        try:
            with app.app_context():
                fine = _trial(sandbox, environ, asked.orders)
                db.session.remove()
        finally:
            with app.app_context():
                db.engine.dispose()
            database.drop()
    sys.exit(0 if fine else 1)


def _trial(sandbox, environ: dict[str, str], orders: int) -> bool:
    sandbox.set_fault("wxpay", drop_callbacks=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, "env": environ}
    flask = [sys.executable, "-m", "flask", "--app", "wsgi"]
    scheduler = subprocess.Popen([*flask, "scheduler"], **quiet)
    try:
        began = time.monotonic()
        mine = _paid(sandbox, orders)
        paid_in = time.monotonic() - began
        first = _await(mine, 120)
        print(f"callbacks dropped: {orders} orders paid within {paid_in:.0f} s; {first} of them settled by questions"
              f" {time.monotonic() - began - paid_in:.0f} s after the last payment")  # fmt: skip
        # `times` would end it; the path spares the calls that start a payment.
        sandbox.set_fault("wxpay", drop_callbacks=True, down="error", path=QUERY)
        others = _paid(sandbox, orders)
        time.sleep(40)
        unheard = _await(others, 0)
        print(f"questions fail too: {unheard} of {orders} settled after 40 s")
        began = time.monotonic()
        said = subprocess.run(
            [*flask, "reconcile", "run", "--date", clock.today().isoformat()],
            env=environ, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        by_bill = _await(others, 0)
        print(f"the bill: {said.stdout.strip()}; {by_bill} of {orders} settled, {time.monotonic() - began:.0f} s")
    finally:
        scheduler.terminate()
        scheduler.wait(30)
    sources = dict(
        db.session.execute(
            sa.select(PaymentTransaction.source, sa.func.count()).group_by(PaymentTransaction.source)
        ).all()
    )
    seats = db.session.scalar(sa.select(sa.func.sum(CourseSchedule.booked)))
    print(f"payments by source {sources}, seats booked {seats}")
    return (first, unheard, by_bill, seats) == (orders, 0, orders, 2 * orders)


def _paid(sandbox, count: int) -> list[str]:
    """Orders that were started and paid; their numbers."""
    (schedule_id,) = make_sessions(1, capacity=999, price="200.00")
    db.session.execute(sa.update(CourseType).values(is_trial=True))
    db.session.commit()
    made = []
    for parent in make_parents(count, balance="1.00"):
        actor = Actor(type=ActorType.PARENT, id=parent.user_id, name="家长", family_id=parent.family_id)
        order_id = checkout.create(schedule_id=schedule_id, profile_id=parent.profile_ids[0], actor=actor).order_id
        payments.prepay(order_id=order_id, trade_type="JSAPI", actor=system("bench"))
        sandbox.pay(order_id)
        made.append(order_id)
    return made


def _await(numbers: list[str], seconds: float) -> int:
    """How many of them are paid and seated; waits until all are, for so long."""
    query = sa.select(sa.func.count()).where(
        PaymentOrder.order_id.in_(numbers), PaymentOrder.status == "paid", PaymentOrder.booking_id.is_not(None)
    )
    end = time.monotonic() + seconds
    while True:
        found = db.session.scalar(query)
        db.session.rollback()
        if found == len(numbers) or time.monotonic() > end:
            return found
        time.sleep(0.5)


if __name__ == "__main__":
    main()
