"""`flask ledger verify`: is every fen where its transactions say (W4, W32)?"""

from __future__ import annotations

import time

import click
from flask import Flask
from flask.cli import AppGroup

from app import money
from app.domain.ledger import verify as checking
from app.money import from_fen

group = AppGroup("ledger", help="账本：核对每个钱包的流水、余额与哈希链。")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("verify")
@click.option("--full", is_flag=True, help="从第一笔起全部重算；不加时只核对上次检查点之后的部分。")
@click.option("--anchor", metavar="ROOT", help="再查账本是否仍包含当初这个根所代表的状态（同时全量核对）。")
def verify(full: bool, anchor: str | None) -> None:
    """核对账本。全部相符时退出码为 0；否则逐个列出有问题的钱包及其第一笔有问题的流水，退出码为 1。"""
    if anchor is not None and not _is_root(anchor):
        raise click.BadParameter("根是 64 位十六进制数字", param_hint="--anchor")
    began = time.monotonic()
    report = checking.run(full=full, anchor_root=anchor)
    kind = "全量" if report.full else "增量"
    click.echo(
        f"{kind}核对：钱包 {report.wallets} 个，读取流水 {report.rows_read} 笔，"
        f"余额合计 {money.yuan(from_fen(report.fen))}，用时 {time.monotonic() - began:.1f} 秒"
    )
    for finding in report.findings:
        click.echo(str(finding))
    if report.findings:
        click.echo(f"账本有问题：{len(report.findings)} 处。请勿修改数据，按运行手册“余额不符”处理。", err=True)
        raise SystemExit(1)
    if anchor is not None:
        click.echo(f"账本仍包含检查点 {anchor.lower()}")
    click.echo(f"账本完好，当前检查点 {report.root}")


def _is_root(text: str) -> bool:
    return len(text) == 64 and all(char in "0123456789abcdefABCDEF" for char in text)
