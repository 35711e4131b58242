"""`flask jobs`: list the periodic jobs, run one by hand (96.7)."""

from __future__ import annotations

import os
import socket
import time
from importlib import import_module

import click
from flask import Flask
from flask.cli import AppGroup

from app.domain.outbox import jobs
from app.domain.outbox.schedule import JOBS

#: seconds to wait for a run that is under way
PATIENCE = 30.0

group = AppGroup("jobs", help="定时任务：列出全部，或现在运行一个。")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("list")
def list_jobs() -> None:
    """每行一个任务：名称、周期、上次成功、作用。"""
    known = jobs.runs()
    width = max(len(job.name) for job in JOBS)
    for job in JOBS:
        run = known.get(job.name)
        last = run.last_success_at.isoformat(timespec="seconds") if run and run.last_success_at else "-"
        when = job.cron or f"{job.every}s"
        click.echo(f"{job.name:<{width}}  {when:<14}  {last:<25}  {job.description}")


@group.command("run")
@click.argument("name")
def run_job(name: str) -> None:
    """现在就在本进程里运行一次。"""
    schedule = import_module("tasks.schedule")
    job = schedule.BY_NAME.get(name)
    if job is None:
        raise click.UsageError(f"没有名为 {name} 的任务；flask jobs list 列出全部")
    holder = f"cli:{socket.gethostname()[:32]}:{os.getpid()}"
    until = time.monotonic() + PATIENCE
    try:
        ran, result = schedule.run(job, holder)
        while not ran and time.monotonic() < until:
            time.sleep(0.5)
            ran, result = schedule.run(job, holder)
    except Exception as error:
        raise click.ClickException(f"{name} 失败：{type(error).__name__}: {error}") from error
    if not ran:
        raise click.ClickException(f"{name} 正由另一个进程运行，请稍后再试")
    click.echo(result or "完成")
