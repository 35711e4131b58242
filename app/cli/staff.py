"""`flask staff …`: the first account, and the way in when nobody can sign in any more (P7)."""

from __future__ import annotations

import sys

import click
from flask import Flask
from flask.cli import AppGroup

from app.cli.operator import operator, says_refusals
from app.domain.people import passwords, staff
from app.domain.people.queries_staff import staff_list
from app.domain.people.roles import Role

group = AppGroup("staff", help="员工账号。")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("create")
@click.option("--username", required=True, help="2–32 位小写字母、数字和 . - _")
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]), help="角色")
@click.option("--name", default="", help="页面上显示的姓名；默认与用户名相同")
@click.option("--password-stdin", is_flag=True, help="从标准输入读取密码")
@says_refusals
def create(username: str, role: str, name: str, password_stdin: bool) -> None:
    """新建任一角色的账号。没有默认密码：输入两遍，或从标准输入读取。"""
    password = _read_password(password_stdin)
    made = staff.create(
        username=username, display_name=name or username, role=role, password=password, must_change=False,
        actor=operator(),
    )  # fmt: skip
    click.echo(f"已建立员工 {username.strip().lower()}（{role}），编号 {made.staff_id}")


@group.command("reset")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help="从标准输入读取临时密码")
@click.option("--totp", is_flag=True, help="同时取消第二因素")
@says_refusals
def reset(username: str, password_stdin: bool, totp: bool) -> None:
    """设置临时密码；会告知飞书系统群。"""
    line = next((each for each in staff_list() if each.username == username.strip().lower()), None)
    if line is None:
        raise click.ClickException(f"没有员工 {username}")
    password = _read_password(password_stdin)
    passwords.check(password, username=line.username)
    staff.reset_password(staff_id=line.id, password=password, actor=operator())
    if totp and line.has_second_factor:
        staff.reset_second_factor(staff_id=line.id, reason="由服务器命令重置", actor=operator())
    click.echo(f"{line.username} 的密码已重置，首次登录时须修改")


@group.command("list")
def show() -> None:
    """列出全部账号，每行一个。"""
    for line in staff_list():
        factor = "totp" if line.has_second_factor else "-"
        click.echo(f"{line.username}\t{line.role}\t{line.status}\t{factor}\t{line.display_name}")


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return click.prompt("密码", hide_input=True, confirmation_prompt="再输入一次")
