"""`flask alerts`: what burns, and the same rules for Prometheus (Z11)."""

from __future__ import annotations

from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from app import metrics_known
from app.config import ROOT
from app.db import db
from app.domain.policy import service as policy
from app.domain.watch import alerts, promql
from app.domain.watch.catalogue import RULES

group = AppGroup("alerts", help="告警：正在发生的，以及给 Prometheus 的规则文件。")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("list")
def list_alerts() -> None:
    """现在按所有规则判断一次，只看不发；有告警时以 1 结束。"""
    figures = policy.get_many(*alerts.policies())
    db.session.rollback()
    samples, burning = metrics_known.samples(), 0
    now = alerts.db_now().timestamp()
    for rule in RULES:
        found = rule.find(samples, now, alerts.threshold(rule, figures))
        burning += bool(found)
        mark = "?" if found is None else "✗" if found else "✓"
        click.echo(f"{mark} {rule.name:<22} {rule.title}" + (f"：{alerts.in_words(rule, found)}" if found else ""))
    if burning:
        raise SystemExit(1)


@group.command("write")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=ROOT / "deploy" / "alerts")
def write(folder: Path) -> None:
    """把规则（用现在的阈值）与样例写成 Prometheus 的文件。"""
    figures = policy.get_many(*alerts.policies())
    db.session.rollback()
    folder.mkdir(parents=True, exist_ok=True)
    thresholds = {rule.name: alerts.threshold(rule, figures) for rule in RULES}
    (folder / "desk.rules.yml").write_text(promql.rules_file(thresholds), encoding="utf-8")
    (folder / "desk.test.yml").write_text(promql.test_file(), encoding="utf-8")
    click.echo(f"写好 {len(RULES)} 条规则：{folder}")
