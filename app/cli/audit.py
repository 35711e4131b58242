"""`flask audit`: whether the log is as it was sealed (R7); old months as files (S12)."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from app.cli.operator import operator, says_refusals
from app.domain.audit import seals
from app.flows import audit_archive, audit_file

group = AppGroup("audit", help="审计记录：封存、核对、归档。")


@group.command("verify")
def verify() -> None:
    """重算每个封条；有不符的，说出第一个并以 1 退出。"""
    found = seals.verify()
    if found.broken:
        broken = found.broken
        click.echo(
            f"封条 {broken.seal_id} 不符：审计记录 {broken.first_id}–{broken.last_id} 已被改动"
            f"（封存时 {broken.rows_then} 条，现有 {broken.rows_now} 条）；之前 {found.seals} 个封条完好",
            err=True,
        )
        sys.exit(1)
    away = f"，{found.archived} 条已归档移出" if found.archived else ""
    click.echo(
        f"{found.seals} 个封条完好，覆盖 {found.rows} 条{away}；{found.unsealed} 条尚未封存；"
        f"最新封条 {found.head or '无'}"
    )


@group.command("seal")
def seal() -> None:
    """现在封存一分钟以前的记录，与定时任务相同。"""
    click.echo(f"已封存 {seals.seal_due()} 条")


@group.command("archive")
@click.option(
    "--before", required=True, type=click.DateTime(formats=["%Y-%m-%d"]), help="某月 1 日：归档这天之前的整月。"
)
@click.option("--out", default=Path("."), show_default=True, type=click.Path(file_okay=False, path_type=Path),
              help="写到这个目录，每月一个文件。")  # fmt: skip
@click.option("--drop", is_flag=True, help="核对文件之后，把这些记录移出审计表；只有数据库用户 migrate 可以。")
@click.option("--early", is_flag=True, help="没有满保留期限的月份也归档。")
@says_refusals
def archive(before: datetime, out: Path, drop: bool, early: bool) -> None:
    """把整月的审计记录写成签名、加密的文件；写完从磁盘重读核对。中断之后可以再运行。"""
    count = 0
    for done in audit_archive.create(before.date(), out, operator(), drop=drop, early=early):
        went = "" if done.dropped is None else f"，移出 {done.dropped} 条"
        click.echo(f"{done.path}：{done.rows} 条，核对无误{went}")
        count += 1
    if not count:
        click.echo("没有可以归档的月份")


@group.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@says_refusals
def check(file: Path) -> None:
    """核对一个归档文件：签名、内容、封条链。不需要数据库。"""
    said = audit_file.check(file)
    click.echo(f"完好：{said.month}，审计记录 {said.first_id}–{said.last_id}，{said.rows} 条，末封条 {said.head_hash}")


def register(app: Flask) -> None:
    app.cli.add_command(group)
