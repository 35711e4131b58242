"""`flask reconcile`: settle from WeChat's daily bill what neither callback nor question told (I-25)."""

from __future__ import annotations

from datetime import datetime, timedelta

import click
from flask import Flask
from flask.cli import AppGroup

from app import clock
from app.cli.operator import operator
from app.errors import DomainError
from app.flows import bills

group = AppGroup("reconcile", help="按微信账单对账。")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("run")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="上海时间的日子，默认昨天。")
def run(day: datetime | None) -> None:
    """取一天的微信账单，补记系统里没有的付款；可重复运行。"""
    on = day.date() if day else clock.today() - timedelta(days=1)
    try:
        done = bills.settle_day(on, operator())
    except DomainError as refusal:
        raise click.ClickException(refusal.message) from refusal
    click.echo(f"{on}：账单付款 {done.payments} 笔，已有 {done.known}，补记 {done.settled}，列入异常 {done.on_board}")
