"""`flask backup`: make a backup, look whether it is whole, bring it back (Z9)."""

from __future__ import annotations

import time
from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from app import money
from app.cli.operator import says_refusals
from app.flows import backup
from app.money import from_fen

group = AppGroup("backup", help="备份与恢复：数据库、凭证和校验清单。")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("create")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@says_refusals
def create(folder: Path) -> None:
    """在 FOLDER 里新建一份备份：数据库（加密）、新增的凭证、带密钥签名的清单。服务不用停。"""
    began = time.monotonic()
    target, manifest = backup.create(folder)
    at = "无二进制日志" if manifest.position is None else "{}:{}".format(*manifest.position)
    click.echo(
        f"{target}：数据库 {manifest.bytes / 1e6:.1f} MB，凭证 {manifest.receipts} 个，日志位置 {at}，"
        f"用时 {time.monotonic() - began:.1f} 秒"
    )
    click.echo(f"账本检查点 {manifest.anchor or '还没有'}")


@group.command("check")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@says_refusals
def check(folder: Path) -> None:
    """核对一份备份是否完整、未被改动，不恢复。"""
    manifest = backup.check(folder)
    click.echo(f"完好：{manifest.made_at}，数据库 {manifest.bytes / 1e6:.1f} MB，凭证 {manifest.receipts} 个")


@group.command("restore")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--binlog", "logs", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="接着重放的二进制日志，按先后可给多个。")  # fmt: skip
@click.option("--stop-position", type=int, help="重放到最后一个日志的这个位置为止（按位置，不按时间）。")
@says_refusals
def restore(folder: Path, logs: tuple[Path, ...], stop_position: int | None) -> None:
    """把备份恢复到 DESK_DATABASE_URL 指向的空库和现在的凭证存储，然后核对账本与每个凭证。"""
    if stop_position is not None and not logs:
        raise click.UsageError("--stop-position 要和 --binlog 一起用")
    began = time.monotonic()
    done = backup.restore(folder, logs=logs, stop=stop_position)
    report, seconds = done.report, time.monotonic() - began
    click.echo(
        f"已恢复并核对：钱包 {report.wallets} 个，流水 {report.rows_read} 笔，"
        f"余额合计 {money.yuan(from_fen(report.fen))}，凭证 {done.receipts} 个，用时 {seconds:.1f} 秒"
    )
    click.echo(f"账本完好，当前检查点 {report.root}")
