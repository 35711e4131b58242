"""`flask families import FILE`: take families and their opening balances over from the old system (95, 96.8)."""

from __future__ import annotations

from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from app import money
from app.cli import sheet_files
from app.cli.operator import operator, says_refusals
from app.domain.people import family_import
from app.domain.people.family_import import ImportRefused, Totals
from app.domain.people.import_rows import COLUMNS, gather

group = AppGroup("families", help="从别处接手的家庭。")


@group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="只核对文件并列出合计，不改动任何数据。")
@says_refusals
def import_file(file: Path, dry_run: bool) -> None:
    """从 FILE（UTF-8 的 csv，或 xlsx）导入家庭：全部写入，或一行也不写。"""
    families = sheet_files.read(file, COLUMNS, gather)
    try:
        if dry_run:
            totals = family_import.preview(families)
        else:
            totals = family_import.import_families(families=families, actor=operator())
    except ImportRefused as refused:
        sheet_files.refuse(refused.cells)
    _print(totals, dry_run)


def _print(totals: Totals, dry_run: bool) -> None:
    click.echo("试运行，没有改动任何数据" if dry_run else "导入完成")
    click.echo(f"家庭 {totals.families} 户，其中新建 {totals.new_families} 户")
    click.echo(f"家长 {totals.parents} 位，其中新建 {totals.new_parents} 位")
    click.echo(f"学员 {totals.students} 位，其中新建 {totals.new_students} 位")
    click.echo(f"级别 新建 {totals.new_levels} 个")
    click.echo(f"期初余额合计 {money.yuan(totals.opening_total)}")
    word = "将入账" if dry_run else "入账"
    click.echo(f"本次{word} {totals.posted} 笔，{money.yuan(totals.posted_amount)}")


def register(app: Flask) -> None:
    app.cli.add_command(group)
