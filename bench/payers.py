"""A hundred payers at once for the thirty seats of one trial class after another, as the mini program does it: order,
prepay, pay, callback, booked. Afterwards no class is oversold, and whoever paid has a seat, a refund or a case.

    python -m bench.payers --seconds 60 --payers 100 --seats 30
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import requests
import sqlalchemy as sa

from app.db import db
from app.domain.cases.models import MoneyCase
from app.domain.catalog.models import CourseSchedule, CourseType
from app.domain.orders.models import PaymentOrder
from bench.http import ROOT, _await, _environ
from bench.parents import make_parents, make_sessions
from tests.conftest import pay_environ, pay_folder

#: seconds within which a payer looks whether the callback has come
PATIENCE = 20.0


class Payers:
    """What the clients did and heard."""

    def __init__(self, app_url: str, sandbox_url: str, payers: int):
        self.app, self.sandbox = f"{app_url}/api/v1", sandbox_url
        self.lock, self.said, self.created = threading.Lock(), Counter(), []
        self.barrier = threading.Barrier(payers)

    def run(self, parents: list, sessions: list[int], end: float) -> None:
        """One client: a fresh parent for each class, all at it together."""
        http = requests.Session()
        for parent, session in zip(parents, sessions, strict=True):
            try:
                self.barrier.wait(120)
            except threading.BrokenBarrierError:
                return
            if time.monotonic() > end:
                self.barrier.abort()
                return
            word = self._buy(http, parent, session)
            with self.lock:
                self.said[word] += 1

    def _buy(self, http: requests.Session, parent, session: int) -> str:
        headers = {"Authorization": f"Bearer {parent.token}", "Idempotency-Key": uuid.uuid4().hex}
        body = {"course_schedule_id": session, "profile_id": parent.profile_ids[0]}
        began = time.monotonic()
        made = http.post(f"{self.app}/payment/orders/create", json=body, headers=headers, timeout=60)
        if made.status_code != 201:
            return made.json().get("error", str(made.status_code))
        order_id = made.json()["data"]["order_id"]
        asked = {"order_id": order_id, "trade_type": "NATIVE"}
        begun = http.post(f"{self.app}/payment/wxpay/create", json=asked, headers={**headers, "Idempotency-Key": "p"
                          + order_id}, timeout=60)  # fmt: skip
        with self.lock:
            self.created.append((time.monotonic() - began) * 1000)
        if begun.status_code != 200:
            return f"prepay {begun.json().get('error')}"
        code = begun.json()["data"]["code_url"]
        paid = http.post(f"{self.sandbox}/_control/pay/scan", json={"code_url": code, "openid": "payer"}, timeout=30)
        if not paid.json().get("paid"):
            return f"WeChat: {paid.json().get('reason')}"
        late = time.monotonic() + PATIENCE
        while time.monotonic() < late:
            view = http.get(f"{self.app}/payment/orders/{order_id}", headers=headers, timeout=60).json()["data"]
            if view["status"] == "paid":
                return f"paid, {view['seat_status']}"
            time.sleep(0.3)
        return "paid, never heard"


def main() -> None:
    from tests.conftest import build_app
    from tests.databases import FreshDatabase

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--payers", type=int, default=100)
    parser.add_argument("--seats", type=int, default=30)
    parser.add_argument("--engine", choices=("mysql", "sqlite"), default="mysql")
    asked = parser.parse_args()
    waves = max(2, int(asked.seconds / 3))
    database = FreshDatabase(asked.engine, "payers")
    with tempfile.TemporaryDirectory() as folder:
        app = build_app(database, Path(folder), DESK_RATE_LIMITS="off")
        try:
            sys.exit(0 if _trial(app, database, Path(folder), asked, waves) else 1)
        finally:
            with app.app_context():
                db.engine.dispose()
            database.drop()


def _trial(app, database, folder: Path, asked, waves: int) -> bool:
    with app.app_context():
        sessions = make_sessions(waves, capacity=asked.seats, price="200.00")
        db.session.execute(sa.update(CourseType).values(is_trial=True))
        db.session.commit()
        parents = make_parents(asked.payers * waves, balance="1.00")
        db.session.remove()
    sandbox_port, web_port = _free_port(), _free_port()
    sandbox_url, url = f"http://127.0.0.1:{sandbox_port}", f"http://127.0.0.1:{web_port}"

    class _Place:
        instance = folder

    _Place.database = database
    environ = _environ(_Place) | pay_environ() | {
        "DESK_RATE_LIMITS": "off", "DESK_PUBLIC_URL": url, "DESK_WXPAY_API_URL": sandbox_url,
    }  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, "env": environ}
    commands = (
        [sys.executable, "-m", "sandbox", "--port", str(sandbox_port), "--app-url", url, "--pay-keys", pay_folder()],
        [sys.executable, "-m", "gunicorn", "wsgi:app", "--preload", "-b", f"127.0.0.1:{web_port}"],
    )
    servers = [subprocess.Popen([str(part) for part in command], **quiet) for command in commands]
    try:
        _await(sandbox_port)
        _await(web_port)
        crowd = Payers(url, sandbox_url, asked.payers)
        end = time.monotonic() + asked.seconds
        threads = [
            threading.Thread(target=crowd.run, args=(parents[n :: asked.payers], sessions, end))
            for n in range(asked.payers)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        told = requests.get(f"{sandbox_url}/_control/pay", timeout=30).json()["callbacks"]
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(30)
    return _report(app, crowd, told, took)


def _report(app, crowd: Payers, told: list[dict], took: float) -> bool:
    with app.app_context():
        sold = CourseSchedule.booked + CourseSchedule.held > CourseSchedule.capacity
        oversold = db.session.scalar(sa.select(sa.func.count()).select_from(CourseSchedule).where(sold))
        paid = db.session.scalar(sa.select(sa.func.count()).where(PaymentOrder.status == "paid"))
        seatless = sa.select(PaymentOrder.order_id).where(
            PaymentOrder.status == "paid", PaymentOrder.booking_id.is_(None)
        )
        cases = set(db.session.scalars(sa.select(MoneyCase.order_id)))
        lost = [number for number in db.session.scalars(seatless) if number not in cases]
        db.session.remove()
    answers = sorted(entry["ms"] for entry in told if entry["status"] == 200)
    print(f"{took:.0f} s; what they heard: {dict(crowd.said)}")
    print(f"order and prepay: {len(crowd.created)}, p50 {_at(sorted(crowd.created), 0.5):.0f} ms,"
          f" p95 {_at(sorted(crowd.created), 0.95):.0f} ms")  # fmt: skip
    print(f"callback to booked: {len(answers)}, p50 {_at(answers, 0.5):.0f} ms, p95 {_at(answers, 0.95):.0f} ms")
    print(f"paid {paid}, classes oversold {oversold}, paid without seat, refund or case {len(lost)}")
    strange = [word for word in crowd.said if word not in ("SEAT_FULL", "paid, confirmed")]
    return not oversold and not lost and not strange


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    os.environ.setdefault("DESK_ENV", "test")
    main()
