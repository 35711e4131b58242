"""`flask data`: rotate the keys that encrypt people's data, rebuild what is derived from it (S11, U2), forget what was
kept long enough (S12)."""

from __future__ import annotations

import sys

import click
from flask import Flask
from flask.cli import AppGroup

from app import clock
from app.cli.operator import operator, says_refusals
from app.domain.people import keys
from app.domain.retention import cleanup, proof
from app.errors import Unavailable
from app.flows import receipts

group = AppGroup("data", help="数据：加密密钥、检索索引、保留期限。")


@group.command("rotate")
def rotate() -> None:
    """把旧密钥加密的内容改用最新的数据密钥；中断之后可以再运行。"""
    for what, count in keys.rotate(actor=operator()).items():
        click.echo(f"{what}：{count} 条改用最新密钥")
    try:
        click.echo(f"凭证文件：{receipts.rotate()} 个改用最新密钥")
    except Unavailable as refusal:
        raise click.ClickException(refusal.message) from None
    click.echo("完成。所有进程都已换上新的 DESK_DATA_KEYS 之后，旧密钥可以删去。")


@group.command("reindex")
def reindex() -> None:
    """更换 DESK_INDEX_KEY 或拼音规则之后，重建手机号索引和检索词。"""
    done = keys.reindex(actor=operator())
    click.echo(f"手机号 {done.phones} 个，家庭 {done.families} 个，索引已重建")


@group.command("cleanup")
@click.option("--dry-run", is_flag=True, help="只列出会清理什么，不改动任何数据。")
@says_refusals
def clean(dry_run: bool) -> None:
    """清理已满保留期限的数据（规则「保留期限」）；资金与审计记录不在其中。可随时中断、再运行。"""
    lines = cleanup.look() if dry_run else cleanup.run(operator())
    for line in lines:
        click.echo(
            f"{line.kind}\t{line.word}\t保留 {line.kept}\t早于 {clock.local(line.before):%Y-%m-%d}\t{line.rows} 行"
        )
    total = sum(line.rows for line in lines)
    click.echo(f"共 {total} 行会被清理，没有改动任何数据" if dry_run else f"已清理 {total} 行")


@group.command("certificates")
@says_refusals
def certificates() -> None:
    """核对每一份删除证明，以及被删除的个人信息有没有又出现；有问题时退出码为 1。"""
    found = proof.check()
    for problem in found.problems:
        click.echo(problem, err=True)
    click.echo(f"{found.certificates} 份删除证明，{len(found.problems)} 处不符")
    sys.exit(1 if found.problems else 0)


def register(app: Flask) -> None:
    app.cli.add_command(group)
