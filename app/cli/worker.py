"""`flask worker` and `flask scheduler`: the processes behind the web (90). Their code is named by string."""

from __future__ import annotations

from importlib import import_module

import click
from flask import Flask, current_app

from app import config


def register(app: Flask) -> None:
    app.cli.add_command(worker)
    app.cli.add_command(scheduler)


@click.command("worker")
@click.option("--burst", is_flag=True, help="在本进程里处理完排队的任务后结束。")
@click.option("--processes", type=click.IntRange(1, 64), help="工作进程数；默认取 DESK_WORKERS。")
def worker(burst: bool, processes: int | None) -> None:
    """处理后台队列：发送消息。"""
    tasks = import_module("tasks.worker")
    if burst:
        tasks.work(current_app._get_current_object(), burst=True)  # type: ignore[attr-defined]
    else:
        tasks.Supervisor(processes or config.current().workers).run()


@click.command("scheduler")
def scheduler() -> None:
    """按时运行定时任务。可以同时开几个，只有一个会动作。"""
    import_module("tasks.scheduler").main(current_app._get_current_object())  # type: ignore[attr-defined]
