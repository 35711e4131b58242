"""A studio of six years in seconds: every row that one of each made is copied thousands of times, in SQL.

The copies are only for the database's statistics: each stands for itself (its own numbers, its own parents, its own
time), is settled, and was past every trigger and check. The ledger alone is true, since much of what runs reads it.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from app import clock
from app import models as _all_tables  # noqa: F401
from app.column_types import JSONText, UTCDateTime
from app.db import db
from app.domain.audit.actor import system
from app.domain.ledger import bulk
from app.domain.ledger.bulk import Movement

#: copies per table, and where their ids begin
ROWS, FIRST = 3000, 1_000_001
#: a copy is this much older than the one before it: all of them, six years
STEP = timedelta(days=6 * 365) / ROWS

_STATE = "what the studio is set up with"
_ONE_A_DAY = "a row a day, or fewer"
#: tables that do not grow with families, classes or payments, and why
SMALL: dict[str, str] = {
    "staff": _STATE, "staff_recovery_codes": _STATE, "levels": _STATE, "course_types": _STATE, "courses": _STATE,
    "coaches": _STATE, "venues": _STATE, "policies": _STATE, "template_wordings": _STATE,
    "channel_paces": "a row per channel", "job_runs": "a row per job", "health_checks": "a row per check",
    "outside_findings": "a row per check", "alerts": "a row each time that something was wrong with the system",
    "day_closes": _ONE_A_DAY, "ledger_anchors": _ONE_A_DAY, "audit_archives": "a row a month",
}  # fmt: skip

#: table → what a copy's columns hold, so that no sweep finds it due
_SETTLED: dict[str, dict[str, str]] = {
    "adjustment_batches": {"status": "'rejected'"},
    "bookings": {"status": "'attended'", "reminded_for": "DATE(x.created_at)"},
    "change_requests": {"status": "'rejected'"},
    "compensation_lots": {"minutes_left": "0"},
    "late_refunds": {"status": "'rejected'"},
    "long_jobs": {"status": "'done'", "finished_at": "x.created_at"},
    "makeup_credits": {"status": "'used'"},
    "makeup_requests": {"status": "'answered'", "answered_at": "x.asked_at"},
    "money_cases": {"status": "'settled'", "settled_at": "x.opened_at", "settled_as": "'noted'"},
    "notifications": {"status": "'sent'", "sent_at": "x.created_at", "next_attempt_at": "NULL"},
    "offline_payments": {"status": "'rejected'"},
    "payment_attempts": {"status": "'closed'", "next_query_at": "NULL"},
    "payment_orders": {"status": "'paid'", "paid_at": "x.created_at", "shipping_status": "'sent'"},
    "reconcile_differences": {"status": "'settled'", "settled_at": "x.opened_at"},
    "refunds": {"status": "'succeeded'", "next_try_at": "NULL", "succeeded_at": "x.created_at"},
    "seat_releases": {"status": "'filled'", "ended_at": "x.freed_at"},
    "seat_reservations": {"status": "'confirmed'"},
    "transaction_questions": {"status": "'answered'", "answered_at": "x.asked_at"},
    "waitlist_entries": {"status": "'confirmed'", "ended_at": "x.joined_at"},
    "waitlist_offers": {"status": "'lapsed'", "ended_at": "x.offered_at"},
    "waitlist_rounds": {"ended_at": "x.started_at"},
    "wallet_adjustments": {"status": "'completed'"},
    "wallets": {"balance": "0", "version": "0", "head_hash": "NULL", "arrears_since": "NULL", "status": "'active'"},
    "withdrawals": {"status": "'paid'"},
}  # fmt: skip

#: what only the ledger itself writes
_TRUE = {"wallet_transactions", "ledger_anchor_leaves"}

#: texts of which there are a handful, whoever they belong to
_KINDS = {
    "action", "actor_type", "cause", "channel", "code", "currency", "digest", "fee_type", "gender", "kind", "method",
    "outcome", "owner_type", "payment_method", "queue", "reason_code", "reference_type", "refund_to", "reported",
    "role", "source", "status", "step", "target_type", "trade_state", "trade_type", "type", "verdict", "media_type",
    "member_status", "shipping_status", "answer",
}  # fmt: skip


def growing() -> list[sa.Table]:
    return [table for table in db.metadata.sorted_tables if table.name not in SMALL]


def fill() -> None:
    """Copy what is there; where there is nothing, a row is thought of. Drops the database's triggers."""
    with db.engine.begin() as connection:
        for (name,) in connection.exec_driver_sql(
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
        ).all():
            connection.exec_driver_sql(f"DROP TRIGGER `{name}`")
        connection.exec_driver_sql("SET foreign_key_checks = 0, check_constraint_checks = 0, unique_checks = 0")
        for table in growing():
            if table.name not in _TRUE:
                connection.exec_driver_sql(_copying(connection, table))
        connection.exec_driver_sql(f"ALTER TABLE wallet_transactions AUTO_INCREMENT = {FIRST}")
        connection.exec_driver_sql("SET foreign_key_checks = 1, check_constraint_checks = 1, unique_checks = 1")
    _move_money()
    analyze()


def analyze() -> None:
    """Tell the database how its tables look now."""
    with db.engine.connect() as connection:
        for table in db.metadata.sorted_tables:
            connection.exec_driver_sql(f"ANALYZE TABLE `{table.name}`").close()


def _copying(connection: sa.Connection, table: sa.Table) -> str:
    """INSERT … SELECT of the copies: each row that is there in turn, or one that is thought of."""
    there = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    columns = [column for column in table.columns if column.computed is None]
    names = ", ".join(f"`{column.name}`" for column in columns)
    values = ", ".join(_value(table, column) for column in columns)
    if there:
        order = ", ".join(f"`{column.name}`" for column in table.primary_key)
        source = f"SELECT t.*, ROW_NUMBER() OVER (ORDER BY {order}) AS turn FROM `{table.name}` t"
    else:
        thought = ", ".join(f"{_thought(column)} AS `{column.name}`" for column in columns)
        source = f"SELECT {thought}, 1 AS turn"
    return (
        f"INSERT INTO `{table.name}` ({names}) SELECT {values} FROM seq_1_to_{ROWS} s"
        f" JOIN ({source}) x ON x.turn = MOD(s.seq, {there or 1}) + 1"
    )


def _thought(column: sa.Column) -> str:
    """Any value of this column's kind."""
    held = column.type
    if isinstance(held, UTCDateTime):
        return "UTC_TIMESTAMP(6)"
    if isinstance(held, sa.Date):
        return "UTC_DATE()"
    return "'{}'" if isinstance(held, JSONText) else "'1'"


def _value(table: sa.Table, column: sa.Column) -> str:
    """What a copy has in this column, in SQL over the row `x` that it is a copy of and its number `s.seq`."""
    name, held = f"x.`{column.name}`", column.type
    own = f"IF({name} IS NULL, NULL, {FIRST - 1} + s.seq)"
    if column.name in _SETTLED.get(table.name, {}):
        value = _SETTLED[table.name][column.name]
        return _older(value) if isinstance(held, UTCDateTime) else value
    parents = {key.column.table.name for key in column.foreign_keys}
    if parents == {"staff"}:
        return f"IF({name} IS NULL, NULL, (SELECT 1 + MOD(s.seq, COUNT(*)) FROM staff))"
    if parents:
        return name if parents <= set(SMALL) else own
    if column.primary_key and column.autoincrement is True:
        return own
    if isinstance(held, UTCDateTime | sa.Date):
        return _older(name)
    if isinstance(held, sa.BigInteger) and (column.name.endswith(("_id", "window")) or column.unique):
        return own
    if isinstance(held, sa.Integer) and column.primary_key:
        return f"{name} + s.seq"
    if isinstance(held, sa.String) and (held.length or 0) > 8 and column.name not in _KINDS:
        return f"CONCAT(LEFT({name}, {held.length - 6}), LPAD(s.seq, 6, '-'))"
    return name


def _older(moment: str) -> str:
    return f"{moment} - INTERVAL s.seq * {STEP.total_seconds():.0f} SECOND"


def _move_money() -> None:
    """Two movements of every copied wallet, as the ledger makes them."""
    began = clock.now() - STEP * ROWS
    wallets = range(FIRST, FIRST + ROWS)

    def movement(wallet: int, turn: int) -> Movement:
        return Movement(
            wallet, "adjustment", Decimal(100), f"crowd-{wallet}-{turn}", "import", str(wallet), "期初余额",
            began + STEP * (wallet - FIRST) + timedelta(hours=turn),
        )  # fmt: skip

    bulk.build(([movement(wallet, turn) for wallet in wallets] for turn in range(2)), actor=system("test"))
