"""Wallet debit through the service against the same statements by bare PyMySQL: one client, four, one hot wallet;
and deadlocks on a Zipf mix."""

from __future__ import annotations

import hashlib
import importlib
import random
import uuid
from decimal import Decimal

import pymysql.cursors

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.ledger import service
from app.domain.outbox.models import MessageConsent
from app.domain.people.models import Family, User
from bench import context as bench
from bench.charts import Chart, Line
from bench.context import Context, Row, Timing

TITLE = "Wallet"
ACTOR = system("bench")
ONE = Decimal("1.00")
WALLETS = 200
#: clients, each a process of its own
COUNTS = (1, 2, 4, 8, 16)


def run(context: Context) -> list[Row]:
    with context.app.app_context():
        wallets = [_wallet(n) for n in range(WALLETS)]
        statements = _record(wallets[0])
        rows = [_one_client(context, wallets, statements)]
    many = {count: _clients(context, wallets, statements, count) for count in COUNTS}
    hot = {count: _clients(context, wallets[:1], statements, count) for count in COUNTS}
    for what, measured in (("many wallets", many), ("one hot wallet", hot)):
        for count, result in measured.items():
            rows += _client_rows(f"{count} client{'s' * (count > 1)}, {what}", result, judged=count == 4)
    context.charts.append(_chart(many, hot))
    return [*rows, *_zipf(context, wallets)]


def _wallet(number: int) -> int:
    """A family with one parent who gets its messages by WeChat, and money for all rounds."""
    with transaction():
        family = Family(name=f"家庭{number}", created_at=clock.now())
        db.session.add(family)
        db.session.flush()
        user = User(family_id=family.id, openid=f"bench-{uuid.uuid4().hex}", registered_at=clock.now())
        db.session.add(user)
        db.session.flush()
        db.session.add(MessageConsent(user_id=user.id, type="balance_changed", remaining=10**6, updated_at=clock.now()))
        wallet_id = service.open_wallet(family.id)
        wallet = service.lock_wallet(wallet_id=wallet_id)
        service.post(wallet, type="recharge", amount=Decimal("9000000.00"), idempotency_key=uuid.uuid4().hex,
                     reference_type="import", reference_id=family.id, reason="期初", actor=ACTOR)  # fmt: skip
    return wallet_id


def debit(wallet_id: int) -> None:
    key = uuid.uuid4().hex
    service.debit(wallet_id=wallet_id, amount=ONE, idempotency_key=key, reference_type="booking", reference_id=key,
                  reason="正式课扣费", actor=ACTOR)  # fmt: skip


# ── the floor: the statements that one debit sends, sent again by bare PyMySQL ──


def _record(wallet_id: int) -> list[tuple[str, dict]]:
    seen: list[tuple[str, dict]] = []
    send = pymysql.cursors.Cursor.execute

    def note(cursor, statement, parameters=None):
        seen.append((statement, dict(parameters or {})))
        return send(cursor, statement, parameters)

    debit(wallet_id)  # the second one finds every statement compiled
    pymysql.cursors.Cursor.execute = note
    debit(wallet_id)
    pymysql.cursors.Cursor.execute = send
    return [(sql, {name: _plain(value) for name, value in values.items()}) for sql, values in seen]


def _plain(value):
    return str(value) if isinstance(value, str) else value


def bare_debit(connection, statements: list[tuple[str, dict]], wallet_id: int) -> None:
    """What a careful hand would write: balance, seq and hash from the locked row, the rest as recorded."""
    key = uuid.uuid4().hex
    cursor = connection.cursor()
    balance = version = head = row_id = None
    for sql, recorded in statements:
        values = dict(recorded)
        if "FOR UPDATE" in sql:
            cursor.execute(sql, {"key": wallet_id})
            _, _, balance, _, version, head = cursor.fetchone()[:6]
            new_head = hashlib.sha256((head or b"") + key.encode()).digest()
        elif sql.startswith("INSERT INTO wallet_transactions"):
            values |= {"wallet_id": wallet_id, "seq": version + 1, "prev_hash": head, "hash": new_head}
            values |= {"balance_before": balance, "balance_after": balance - ONE}
            values |= {"idempotency_key": key, "reference_id": key}
            cursor.execute(sql, values)
            row_id = cursor.lastrowid
        elif sql.startswith("UPDATE wallets"):
            values |= {"wallet_key": wallet_id, "version_was": version, "new_balance": balance - ONE,
                       "new_version": version + 1, "new_head": new_head}  # fmt: skip
            cursor.execute(sql, values)
        elif sql.startswith("INSERT INTO notifications"):
            cursor.execute(sql, values | {"dedupe_key": f"bench:{row_id}"})
        elif sql.startswith("SELECT wallet_transactions"):
            cursor.execute(sql, {"key": key})
            cursor.fetchall()
        else:
            cursor.execute(sql, values)
            if sql.startswith("SELECT"):
                cursor.fetchall()
    connection.commit()


def _one_client(context: Context, wallets: list[int], statements) -> Row:
    connection = context.bare()

    def floor(_round: int) -> Timing:
        taken = bench.timed(lambda n: bare_debit(connection, statements, wallets[n % WALLETS]), context.seconds)
        return bench.summary(taken, context.seconds)

    def ours(_round: int) -> Timing:
        taken = bench.timed(lambda n: debit(wallets[n % WALLETS]), context.seconds)
        return bench.summary(taken, context.seconds)

    result = bench.alternate(context, floor=floor, ours=ours)
    connection.close()
    return _rate_row("debit through the service, 1 client", result, 0.65)


def _rate_row(what: str, result: dict[str, Timing], goal: float | None) -> Row:
    floor, ours = result["floor"], result["ours"]
    ratio = ours.rate / floor.rate
    return Row(what, f"{floor.rate:,.0f}/s, p99 {floor.p99:.1f} ms", f"{ours.rate:,.0f}/s, p99 {ours.p99:.1f} ms",
               ratio, "–" if goal is None else f"≥ {goal:.2f}", None if goal is None else ratio >= goal)  # fmt: skip


# ── several clients ──


def floor_client(wallets: list[int], statements, seconds: float) -> list[float]:
    connection = bench.bare_connection(bench.url_here)
    bench.together()
    taken = bench.timed(lambda _: bare_debit(connection, statements, random.choice(wallets)), seconds)
    connection.close()
    return taken


def our_client(wallets: list[int], seconds: float) -> list[float]:
    bench.together()
    return bench.timed(lambda _: debit(random.choice(wallets)), seconds)


def _clients(context: Context, wallets: list[int], statements, count: int) -> dict[str, Timing]:
    with context.fleet(count) as members:

        def gather(task, *arguments) -> Timing:
            parts = members.starmap(task, [(*arguments, context.seconds)] * count, chunksize=1)
            return bench.summary([latency for part in parts for latency in part], context.seconds)

        return bench.alternate(
            context,
            floor=lambda _: gather(floor_client, wallets, statements),
            ours=lambda _: gather(our_client, wallets),
        )


def _client_rows(what: str, result: dict[str, Timing], *, judged: bool) -> list[Row]:
    """The goals are those of four clients; the others show how it grows."""
    if not judged:
        return [_rate_row(what, result, None)]
    tail = result["ours"].p99 / result["floor"].p99
    return [
        _rate_row(what, result, 0.60),
        Row(f"{what}: p99", f"{result['floor'].p99:.1f} ms", f"{result['ours'].p99:.1f} ms", tail, "≤ 3.00", tail <= 3),
    ]


def _chart(many: dict[int, dict[str, Timing]], hot: dict[int, dict[str, Timing]]) -> Chart:
    def line(name: str, measured: dict[int, dict[str, Timing]], who: str) -> Line:
        return Line(name, [result[who].rate for result in measured.values()], floor=who == "floor")

    return Chart(
        name="wallet", title="Debits per second by clients at once", x_title="clients", y_title="per second",
        x=list(many),
        lines=[
            line("many wallets", many, "ours"), line("one hot wallet", hot, "ours"),
            line("many, bare PyMySQL", many, "floor"), line("hot, bare PyMySQL", hot, "floor"),
        ],
    )  # fmt: skip


# ── deadlocks ──


def zipf_client(wallets: list[int], seconds: float) -> tuple[int, int, list[str]]:
    """(operations, transactions run again, failures that the caller saw): nine debits to one transfer."""
    outcomes: list[str] = []
    importlib.import_module("app.db").metrics_hook = lambda outcome, *_: outcomes.append(outcome)
    weights = [1 / (rank + 1) for rank in range(len(wallets))]
    failed: list[str] = []

    def one(_n: int) -> None:
        first, second = random.choices(wallets, weights, k=2)
        try:
            if random.random() < 0.1 and first != second:
                service.transfer(from_wallet_id=first, to_wallet_id=second, amount=ONE,
                                 idempotency_key=uuid.uuid4().hex, reason="互转", actor=ACTOR)  # fmt: skip
            else:
                debit(first)
        except Exception as error:
            failed.append(repr(error))

    bench.together()
    done = len(bench.timed(one, seconds))
    return done, outcomes.count("retried"), failed


def _zipf(context: Context, wallets: list[int]) -> list[Row]:
    with context.fleet(16) as members:
        parts = members.starmap(zipf_client, [(wallets, context.seconds * 2)] * 16, chunksize=1)
    done, retried = sum(part[0] for part in parts), sum(part[1] for part in parts)
    failed = [text for part in parts for text in part[2]]
    context.notes += [f"Seen by a caller: {text}." for text in sorted(set(failed))[:3]]
    share = retried / done * 100
    return [
        Row("Zipf mix, 16 clients: deadlocks and lock timeouts", "–", f"{retried} of {done:,} = {share:.3f} %", None,
            "< 0.1 %", share < 0.1),
        Row("Zipf mix, 16 clients: seen by callers", "–", str(len(failed)), None, "0", not failed),
    ]  # fmt: skip
