"""`flask audit verify`: whether the audit log is as it was sealed (R7)."""

from __future__ import annotations

import sys

import click
from flask import Flask
from flask.cli import AppGroup

from app.domain.audit import seals

group = AppGroup("audit", help="Check the audit log.")


@group.command("verify")
def verify() -> None:
    """Recompute every seal; name the first broken one and exit with 1."""
    found = seals.verify()
    if found.broken:
        broken = found.broken
        click.echo(
            f"封条 {broken.seal_id} 不符：审计记录 {broken.first_id}–{broken.last_id} 已被改动"
            f"（封存时 {broken.rows_then} 条，现有 {broken.rows_now} 条）；之前 {found.seals} 个封条完好",
            err=True,
        )
        sys.exit(1)
    click.echo(
        f"{found.seals} 个封条完好，覆盖 {found.rows} 条；{found.unsealed} 条尚未封存；最新封条 {found.head or '无'}"
    )


@group.command("seal")
def seal() -> None:
    """Seal now what is older than a minute, as the periodic job does."""
    click.echo(f"已封存 {seals.seal_due()} 条")


def register(app: Flask) -> None:
    app.cli.add_command(group)
