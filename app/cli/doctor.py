"""`flask doctor`: every setting and what it reaches; what is wrong, and how to mend it."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Iterator

import click
import sqlalchemy as sa
from flask import Flask, current_app
from flask.cli import with_appcontext

from app import config, health
from app.config import ROOT, Settings
from app.db import db
from app.domain.people.models import Staff, StaffStatus
from app.domain.people.roles import MONEY_ROLES, Role
from app.domain.policy import service as policy
from app.flows import installed_checks, key_checks, outside_checks
from app.flows.outside_checks import ERROR, OK, WARNING, Finding

_MARKS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), ERROR: ("✗", "red")}
_SECRET = re.compile(r"SECRET|KEYS?$|TOKEN|PREVIOUS", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+@")
_REMEDIES = {
    "database": "检查 DESK_DATABASE_URL，以及数据库是否在运行",
    "schema": "运行 flask db upgrade",
    "database_settings": "按说明修改数据库的设置",
    "clock": "在应用与数据库的机器上打开 NTP 对时",
    "redis": "检查 DESK_REDIS_URL，以及 Redis 是否在运行",
    "outbox": "确认 flask worker 与 flask scheduler 在运行",
    "scheduler": "启动 flask scheduler",
}
_LEAST_FREE = 1024 * 1024 * 1024


def register(app: Flask) -> None:
    app.cli.add_command(doctor)


@click.command("doctor")
@click.option("--offline", is_flag=True, help="不连接微信、飞书，不看证书。")
@with_appcontext
def doctor(offline: bool) -> None:
    """检查设置和它们连到的一切；有坏的以 1 退出。"""
    settings = config.current()
    errors = 0
    for title, findings in (
        ("设置", _settings(settings)),
        ("各部分", _parts()),
        ("数据与账号", _data()),
        ("外部服务", iter(()) if offline else outside_checks.all_checks()),
    ):
        click.secho(f"\n{title}", bold=True)
        for finding in findings:
            errors += finding.level == ERROR
            _print(finding)
    click.echo()
    if errors:
        click.secho(f"{errors} 处有问题，修复后再运行一次", fg="red", err=True)
        raise SystemExit(1)
    click.secho("没有发现问题", fg="green")


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.level]
    click.echo(f"  {click.style(mark, fg=colour)} {finding.name}：{finding.text}")
    if finding.remedy and finding.level != OK:
        click.echo(f"      → {finding.remedy}")


# ── settings ────────────────────────────────────────────────────────────────────────────────────────


def known_settings() -> list[str]:
    """Every variable of `.env.example`, which lists all."""
    return re.findall(r"^#?(DESK_[A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)


def _settings(settings: Settings) -> Iterator[Finding]:
    known = known_settings()
    given = {name: value for name, value in os.environ.items() if name.startswith("DESK_")}
    in_file = {name: value for name, value in config.read_dotenv().items() if name.startswith("DESK_")}
    for name in known:
        value = given.get(name) or in_file.get(name)
        if value:
            yield Finding(name, OK, f"{_shown(name, value)}（{'环境变量' if given.get(name) else '.env'}）")
    for name in sorted({*given, *in_file} - set(known)):
        if name.startswith("DESK_TEST_"):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        yield Finding(name, WARNING, "不认识这个设置，它不起作用", f"是不是 {near[0]}？" if near else "删除它")
    yield Finding("运行方式", OK, "生产（DESK_ENV=production）" if settings.production else "开发，其余设置用默认值")
    if settings.production and settings.trusted_proxies == 0:
        yield Finding(
            "DESK_TRUSTED_PROXIES", WARNING, "为 0：在反向代理后面，所有人的地址都会是代理的地址", "设置为代理的层数"
        )
    yield from key_checks.payment_keys(settings.wxpay)
    if not (ROOT / "static" / "vendor" / "manifest.json").exists():
        yield Finding("前端文件", ERROR, "还没有生成", "运行 make assets")
    free = shutil.disk_usage(settings.instance_dir if settings.instance_dir.exists() else ROOT).free
    if free < _LEAST_FREE:
        yield Finding("磁盘", WARNING, f"只剩 {free // 1024 // 1024} MB", "清理或扩容")


def _shown(name: str, value: str) -> str:
    return "已设置" if _SECRET.search(name) else _IN_ADDRESS.sub(r"\1***@", value)


# ── parts, data, people ─────────────────────────────────────────────────────────────────────────────


def _parts() -> Iterator[Finding]:
    for check in health.checks():
        level = {health.OK: OK, health.DEGRADED: WARNING, health.DOWN: ERROR}.get(check.status, WARNING)
        if check.name == "database_settings" and level == WARNING and config.current().production:
            level = ERROR
        yield Finding(check.label, level, check.text, _REMEDIES[check.name])


def _data() -> Iterator[Finding]:
    try:
        yield from key_checks.data_keys()
        yield from installed_checks.rights()
        yield from installed_checks.periodic_jobs()
        yield from _people()
    except sa.exc.SQLAlchemyError as error:
        yield Finding("数据", WARNING, f"没有检查：{type(error).__name__}", "先让数据库和数据表就绪")
    finally:
        db.session.rollback()


def _people() -> Iterator[Finding]:
    active = sa.select(Staff.role, sa.func.count().label("count")).where(Staff.status == StaffStatus.ACTIVE)
    counts = {row.role: row.count for row in db.session.execute(active.group_by(Staff.role))}
    if not counts.get(Role.ADMIN):
        yield Finding(
            "员工账号", WARNING, "没有管理员", "flask staff create --username 用户名 --role admin --password-stdin"
        )
    if sum(counts.get(role, 0) for role in MONEY_ROLES) < 2:
        yield Finding("员工账号", WARNING, "财务和店长合计不足两人，需要审批的调整没有人能批", "再建一位财务或店长")
    if not policy.get("totp_required"):
        level = ERROR if current_app.extensions["desk.settings"].production else WARNING
        yield Finding("totp_required", level, "动态验证码要求已关闭", "flask policy set totp_required on")
    yield Finding("员工账号", OK, f"在用 {sum(counts.values())} 个")
