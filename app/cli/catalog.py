"""`flask catalog import FILE`: take courses and sessions over from a file (95, 96.8)."""

from __future__ import annotations

from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from app.cli import sheet_files
from app.cli.operator import operator, says_refusals
from app.domain.catalog import catalog_import
from app.domain.catalog.catalog_import import ImportRefused, Totals
from app.domain.catalog.import_rows import COLUMNS, gather

group = AppGroup("catalog", help="从别处接手的课程与课次。")


@group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="只核对文件并列出合计，不改动任何数据。")
@says_refusals
def import_file(file: Path, dry_run: bool) -> None:
    """从 FILE（UTF-8 的 csv，或 xlsx）导入课次：全部写入，或一行也不写。"""
    lines = sheet_files.read(file, COLUMNS, gather)
    try:
        if dry_run:
            totals = catalog_import.preview(lines)
        else:
            totals = catalog_import.import_catalog(lines=lines, actor=operator())
    except ImportRefused as refused:
        sheet_files.refuse(refused.cells)
    _print(totals, dry_run)


def _print(totals: Totals, dry_run: bool) -> None:
    click.echo("试运行，没有改动任何数据" if dry_run else "导入完成")
    click.echo(f"课程类型 {totals.types} 种，其中新建 {totals.new_types} 种")
    click.echo(f"课程 {totals.courses} 门，其中新建 {totals.new_courses} 门")
    click.echo(f"教练 {totals.coaches} 位，其中新建 {totals.new_coaches} 位")
    click.echo(f"场馆 {totals.venues} 个，其中新建 {totals.new_venues} 个")
    click.echo(f"级别 新建 {totals.new_levels} 个")
    click.echo(
        f"课次 {totals.sessions} 节，其中新建 {totals.new_sessions} 节，更新 {totals.changed_sessions} 节，"
        f"已取消保持不变 {totals.cancelled_sessions} 节"
    )


def register(app: Flask) -> None:
    app.cli.add_command(group)
