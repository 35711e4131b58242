"""`flask reconcile`: WeChat's daily bill and the books, compared; what the bill alone told is settled (W24, I-25)."""

from __future__ import annotations

from datetime import datetime

import click
from flask import Flask
from flask.cli import AppGroup

from app.cli.operator import operator
from app.domain.audit.actor import Actor
from app.domain.reconcile import differences, queries, words
from app.errors import DomainError
from app.flows import bills, reconcile

group = AppGroup("reconcile", help="对账：微信账单、系统内账。")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("run")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="上海时间的日子，默认昨天。")
def run(day: datetime | None) -> None:
    """取一天的微信账单，补记系统里没有的付款，再核对账单与系统内账；可重复运行。

    逐项列出未处理的差异。没有差异时退出码为 0；有差异或取不到账单时为 1。
    """
    on, actor = day.date() if day else queries.latest_day(), operator()
    failed = _bill(on, actor)
    for check, outcome in reconcile.check_books(actor):
        click.echo(f"{check.word}：差异 {outcome.found} 项")
    open_ones = differences.tell()
    for row in queries.open_ones(limit=open_ones):
        expected, found = words.sides(row.source)
        click.echo(f"{row.day} {words.KIND_TEXTS[row.kind]} {row.key}：{expected} {row.expected}，{found} {row.found}")
    click.echo(f"未处理的差异 {open_ones} 项")
    if failed:
        raise click.ClickException(failed)
    if open_ones:
        raise SystemExit(1)


def _bill(on, actor: Actor) -> str | None:
    """Say what became of the bill; why there is none, where it could not be had."""
    if not bills.has_account():
        click.echo(f"{on}：没有开通微信支付，不核对账单")
        return None
    try:
        done = bills.reconcile_day(on, actor)
    except DomainError as refusal:
        return refusal.message
    taken = done.taken
    click.echo(
        f"{on}：账单付款 {taken.payments} 笔，已有 {taken.known}，补记 {taken.settled}，列入异常 {taken.on_board}"
    )
    click.echo(f"微信账单：差异 {done.outcome.found} 项")
    return None
