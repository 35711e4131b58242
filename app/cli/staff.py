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

group = AppGroup("staff", help="Staff accounts of the portal.")


def register(app: Flask) -> None:
    app.cli.add_command(group)


@group.command("create")
@click.option("--username", required=True, help="2-32 lower-case letters, digits, . - _")
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]))
@click.option("--name", default="", help="the name that pages show; default: the username")
@click.option("--password-stdin", is_flag=True, help="read the password from standard input")
@says_refusals
def create(username: str, role: str, name: str, password_stdin: bool) -> None:
    """Make an account with any role. There is no default password: it is typed twice, or read from stdin."""
    password = _read_password(password_stdin)
    made = staff.create(
        username=username, display_name=name or username, role=role, password=password, must_change=False,
        actor=operator(),
    )  # fmt: skip
    click.echo(f"已建立员工 {username.strip().lower()}（{role}），编号 {made.staff_id}")


@group.command("reset")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help="read the temporary password from standard input")
@click.option("--totp", is_flag=True, help="take away the second factor as well")
@says_refusals
def reset(username: str, password_stdin: bool, totp: bool) -> None:
    """Set a temporary password; announced in the Feishu SYSTEM group like every use of such power."""
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
    """All accounts, one a line."""
    for line in staff_list():
        factor = "totp" if line.has_second_factor else "-"
        click.echo(f"{line.username}\t{line.role}\t{line.status}\t{factor}\t{line.display_name}")


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return click.prompt("密码", hide_input=True, confirmation_prompt="再输入一次")
