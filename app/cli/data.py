"""`flask data`: rotate the keys that encrypt people's data, rebuild what is derived from it (S11, U2)."""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import AppGroup

from app.cli.operator import operator
from app.domain.people import keys
from app.errors import Unavailable
from app.flows import receipts

group = AppGroup("data", help="Encryption keys and search indexes.")


@group.command("rotate")
def rotate() -> None:
    """Encrypt again with the newest data key whatever an older one sealed; may be stopped and run again."""
    for what, count in keys.rotate(actor=operator()).items():
        click.echo(f"{what}：{count} 条改用最新密钥")
    try:
        click.echo(f"凭证文件：{receipts.rotate()} 个改用最新密钥")
    except Unavailable as refusal:
        raise click.ClickException(refusal.message) from None
    click.echo("完成。所有进程都已换上新的 DESK_DATA_KEYS 之后，旧密钥可以删去。")


@group.command("reindex")
def reindex() -> None:
    """Compute phone indexes and search terms anew, after DESK_INDEX_KEY or the spelling rules changed."""
    done = keys.reindex(actor=operator())
    click.echo(f"手机号 {done.phones} 个，家庭 {done.families} 个，索引已重建")


def register(app: Flask) -> None:
    app.cli.add_command(group)
