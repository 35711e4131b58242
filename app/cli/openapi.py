"""`flask openapi write`: the contract as a file, as /api/v1/openapi.json answers it."""

from __future__ import annotations

import json
from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from app.api.v1 import openapi
from app.config import ROOT

group = AppGroup("openapi", help="小程序接口的 OpenAPI 文档。")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("write")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "docs" / "openapi.json",
    help="写到哪里；默认 docs/openapi.json。",
)
def write(output: Path) -> None:
    """由代码生成 docs/openapi.json。"""
    text = json.dumps(openapi.build(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    calls = sum(len(methods) for methods in openapi.build()["paths"].values())
    click.echo(f"{output}: {calls} calls")
