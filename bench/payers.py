"""A hundred payers at once for the thirty seats of one trial class after another, as the mini program does it: order,
prepay, pay, callback, booked. Afterwards no class is oversold, and whoever paid has a seat, a refund or a case.

    python -m bench.payers --waves 20 --payers 100 --seats 30 [--within 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

import requests
import sqlalchemy as sa

from app.db import db
from app.domain.cases.models import MoneyCase
from app.domain.catalog.models import CourseSchedule, CourseType
from app.domain.orders.models import PaymentOrder
from bench import studio
from bench.context import Context, Row, context
from bench.parents import Parent, make_parents, make_sessions
from bench.users import at
from bench.visitors import Heard, Line, Reply

TITLE = "Payers"
PAYERS, WAVES = 100, 5
#: seconds over which the payers of a wave begin
WITHIN = (0.0, 5.0)
ORDER_MS, CALLBACK_MS = 500.0, 200.0
#: seconds within which a payer looks whether the callback has come
PATIENCE = 20.0
EXPECTED = ("SEAT_FULL", "paid, confirmed")


@dataclass
class Payers:
    """What the clients did and heard; times in milliseconds."""

    app: str
    sandbox: str
    heard: Heard = field(default_factory=Heard)
    said: Counter = field(default_factory=Counter)
    #: order and prepay together, of those who got a seat held
    buying: list[float] = field(default_factory=list)

    async def wave(self, parents: list[Parent], session: int, within: float) -> None:
        """All of these buy this class, beginning at moments spread over `within` seconds."""
        await asyncio.gather(*(self._buy(parent, session, random.uniform(0, within)) for parent in parents))

    async def _buy(self, parent: Parent, session: int, after: float) -> None:
        await asyncio.sleep(after)
        headers = {"Authorization": f"Bearer {parent.token}", "Content-Type": "application/json"}
        phone, wechat = Line(self.app, headers, self.heard), Line(self.sandbox, {}, self.heard)
        try:
            self.said[await self._try(phone, wechat, parent, session)] += 1
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.said[type(error).__name__] += 1
        phone.close()
        wechat.close()

    async def _try(self, phone: Line, wechat: Line, parent: Parent, session: int) -> str:
        body = {"course_schedule_id": session, "profile_id": parent.profile_ids[0]}
        began = time.perf_counter()
        made = await self._post(phone, "/payment/orders/create", body)
        if made.status != 201:
            return json.loads(made.text).get("error", str(made.status))
        order_id = json.loads(made.text)["data"]["order_id"]
        begun = await self._post(phone, "/payment/wxpay/create", {"order_id": order_id, "trade_type": "NATIVE"})
        self.buying.append((time.perf_counter() - began) * 1000)
        if begun.status != 200:
            return f"prepay {json.loads(begun.text).get('error')}"
        asked = {"code_url": json.loads(begun.text)["data"]["code_url"], "openid": "payer"}
        paid = await wechat.ask("POST", "/_control/pay/scan", {"Content-Type": "application/json"},
                                json.dumps(asked).encode())  # fmt: skip
        if not json.loads(paid.text).get("paid"):
            return f"WeChat: {json.loads(paid.text).get('reason')}"
        late = time.monotonic() + PATIENCE
        while time.monotonic() < late:
            answer = await phone.ask("GET", f"/api/v1/payment/orders/{order_id}")
            view = json.loads(answer.text)["data"]
            if view["status"] == "paid":
                return f"paid, {view['seat_status']}"
            await asyncio.sleep(1.0)
        return "paid, never heard"

    async def _post(self, phone: Line, path: str, body: dict) -> Reply:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return await phone.ask("POST", f"/api/v1{path}", headers, json.dumps(body).encode())


def run(context: Context) -> list[Row]:
    """All at the same instant, and the same hundred within seconds, as when a class opens. The provider's own delay is
    not taken off: it is the sandbox, on the same cores."""
    rows, payers = [], 20 if context.seconds < 2 else PAYERS
    for within in WITHIN:
        bought = trial(context, payers=payers, seats=payers * 3 // 10, waves=WAVES, within=within)
        rows += _rows(bought, payers, within)
    return rows


def _rows(bought: Bought, payers: int, within: float) -> list[Row]:
    what = f"{payers} payers " + (f"within {within:.0f} s" if within else "at the same instant")
    buying, told = bought.crowd.buying, bought.told
    strange = {word: count for word, count in bought.crowd.said.items() if word not in EXPECTED}
    wrong = bought.oversold + bought.lost + sum(strange.values())
    return [
        _goal(f"{what}: order and prepay", buying, ORDER_MS),
        _goal(f"{what}: callback → booked", told, CALLBACK_MS),
        Row(f"{what}: errors, classes oversold, payments without seat, refund or case", "–",
            f"{sum(strange.values())}, {bought.oversold}, {bought.lost} of {bought.paid:,} paid", None, "0", not wrong),
        Row(f"{what}: a payer's share of a core", "–", bought.cost, None, "–", None),
    ]  # fmt: skip


def _goal(what: str, taken: list[float], most: float) -> Row:
    p95 = at(taken, 0.95)
    return Row(what, "–", f"p50 {at(taken, 0.5):.0f}, p95 {p95:.0f} ms ({len(taken):,})", None, f"p95 < {most:.0f} ms",
               p95 < most)  # fmt: skip


@dataclass(frozen=True)
class Bought:
    """What became of all waves. `told` are the milliseconds of each callback; `cost` names processor time by part."""

    crowd: Payers
    told: list[float]
    paid: int
    oversold: int
    lost: int
    cost: str


def trial(context: Context, *, payers: int, seats: int, waves: int, within: float) -> Bought:
    """Wave after wave, each for a class of its own; the first opens connections and is not counted."""
    with context.app.app_context():
        sessions = make_sessions(waves + 1, capacity=seats, price="200.00")
        db.session.execute(sa.update(CourseType).values(is_trial=True))
        db.session.commit()
        parents = make_parents(payers * len(sessions), balance="1.00")
        db.session.remove()
        db.engine.dispose()
    with studio.running(context, DESK_RATE_LIMITS="off") as running:
        studio.await_healthy(running.url)
        crowd = Payers(running.url, running.sandbox)
        asyncio.run(crowd.wave(parents[:payers], sessions[0], within))
        crowd.buying.clear()
        began, before, own = time.time(), running.seconds(), studio.processor_time(studio.os.getpid())

        async def all_others() -> None:
            for number, session in enumerate(sessions[1:], start=1):
                await crowd.wave(parents[number * payers : (number + 1) * payers], session, within)

        asyncio.run(all_others())
        after = running.seconds()
        used = {what: after[what] - before[what] for what in after}
        used["clients"] = studio.processor_time(studio.os.getpid()) - own
        callbacks = requests.get(f"{running.sandbox}/_control/pay", timeout=30).json()["callbacks"]
        told = [one["ms"] for one in callbacks if one["status"] == 200 and one["at"] >= began]
    cost = ", ".join(f"{what} {seconds / waves / payers * 1000:.0f} ms" for what, seconds in
                     sorted(used.items(), key=lambda item: -item[1]) if seconds >= 0.05)  # fmt: skip
    return Bought(crowd, told, *_counted(context), cost)


def _counted(context: Context) -> tuple[int, int, int]:
    """(orders paid, classes oversold, orders paid without seat, refund or case)."""
    with context.app.app_context():
        sold = CourseSchedule.booked + CourseSchedule.held > CourseSchedule.capacity
        oversold = db.session.scalar(sa.select(sa.func.count()).select_from(CourseSchedule).where(sold))
        paid = db.session.scalar(sa.select(sa.func.count()).where(PaymentOrder.status == "paid"))
        seatless = sa.select(PaymentOrder.order_id).where(
            PaymentOrder.status == "paid", PaymentOrder.booking_id.is_(None)
        )
        cases = set(db.session.scalars(sa.select(MoneyCase.order_id)))
        lost = [number for number in db.session.scalars(seatless) if number not in cases]
        db.session.remove()
    return paid, oversold, len(lost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--waves", type=int, default=20)
    parser.add_argument("--payers", type=int, default=PAYERS)
    parser.add_argument("--seats", type=int, default=30)
    parser.add_argument("--within", type=float, default=0.0, help="seconds over which a wave begins")
    asked = parser.parse_args()
    with context(size="normal") as prepared:
        bought = trial(
            prepared, payers=asked.payers, seats=asked.seats, waves=asked.waves, within=asked.within
        )  # fmt: skip
    rows = _rows(bought, asked.payers, asked.within)
    for row in rows:
        print(f"{row.what}: {row.measured}")
    print(f"heard: {dict(bought.crowd.said)}")
    sys.exit(0 if rows[2].held else 1)


if __name__ == "__main__":
    main()
