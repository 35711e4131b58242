"""`flask policy list|get|set`: the studio's figures from the command line (96.1)."""

from __future__ import annotations

import json

import click
from flask import Flask
from flask.cli import AppGroup

from app.cli.operator import operator_name, says_refusals
from app.domain.policy import changes, queries, service
from app.domain.policy.registry import POLICIES

group = AppGroup("policy", help="业务参数：查看与修改。")


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="输出 JSON 数组而不是表格。")
@says_refusals
def list_policies(as_json: bool) -> None:
    """列出每个参数的名称、值、默认值、单位和含义。"""
    rows = [
        {
            "name": line.policy.name,
            "value": line.value,
            "default": line.policy.default,
            "unit": line.policy.unit,
            "description": line.policy.description,
        }
        for line in queries.lines()
    ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    wide = {key: max(len(row[key]) for row in rows) for key in ("name", "value", "default")}
    for row in rows:
        figures = "  ".join(row[key].ljust(wide[key]) for key in wide)
        click.echo(f"{figures}  {row['unit']}  {row['description']}")


@group.command("get")
@click.argument("name")
@says_refusals
def get_policy(name: str) -> None:
    """显示现在的值。"""
    if name not in POLICIES:
        raise click.ClickException(f"没有名为 {name} 的规则；flask policy list 列出全部")
    click.echo(service.text(name))


@group.command("set")
@click.argument("name")
@click.argument("value")
@says_refusals
def set_policy(name: str, value: str) -> None:
    """立即改为 VALUE；会告知飞书系统群。"""
    done = changes.set_by_command(name=name, value=value, who=operator_name())
    click.echo(f"{name}: {done.old} → {done.new}" if done.old != done.new else f"{name}: {done.new}（没有变化）")


def register(app: Flask) -> None:
    app.cli.add_command(group)
