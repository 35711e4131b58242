"""`flask demo`: a studio with families, staff and history to look at, or a very large one to measure.

Deterministic: the same command makes the same people and figures, dated back from today. Never in production.
"""

from __future__ import annotations

import click
import flask_migrate
from flask import Flask
from flask.cli import AppGroup

from app import config, money
from app.cli.demo import classes, history, large, makeups, orders, people, story, studio, waits, withdrawals
from app.cli.demo.names import PASSWORD, STAFF, household
from app.cli.operator import says_refusals
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.policy import changes

#: families with names, history and a story; more are made in bulk
TOLD = 60
_ROLES = {"front_desk": "前台", "finance": "财务", "manager": "店长", "auditor": "审计", "admin": "管理员"}

group = AppGroup("demo", help="演示数据；生产环境拒绝。")


@group.command("seed")
@click.option("--families", type=click.IntRange(1, 5_000_000), help="补到这么多户家庭。")
@click.option("--transactions", type=click.IntRange(1, 50_000_000), help="补到这么多笔流水。")
@says_refusals
def seed(families: int | None, transactions: int | None) -> None:
    """生成演示数据，可补到给定的规模；再次运行只补缺少的。"""
    _refuse_in_production()
    _seed_told()
    if families or transactions:
        made = large.fill(families=families, transactions=transactions, say=click.echo)
        click.echo(f"家庭 {made.families} 户，流水 {made.transactions} 笔，用时 {made.seconds:.1f} 秒")
    _print_sign_ins()


@group.command("prepare")
@says_refusals
def prepare() -> None:
    """`make run` 所需：升级数据表，没有演示数据就生成，并列出登录账号。"""
    _refuse_in_production()
    flask_migrate.upgrade()
    db.session.remove()
    _seed_told()
    _print_sign_ins()


def _refuse_in_production() -> None:
    if config.current().production:
        raise click.ClickException("演示数据不能写入生产环境（DESK_ENV=production）")


def _seed_told() -> None:
    state = people.state()
    if state == "broken":
        raise click.ClickException(
            "上次的演示数据没有建完：请换一个空数据库（默认的 SQLite 删除 instance/desk.db 即可）再运行"
        )
    if state == "done":
        return
    changes.set_by_command(name="totp_required", value="off", who="demo")
    people.make_staff()
    levels = people.make_levels()
    families = {number: people.make_family(household(number), levels) for number in range(1, TOLD + 1)}
    _tell(families, levels, people.staff_actors())
    story.settle_messages()
    people.finish(families=TOLD)


def _tell(families: dict[int, people.Made], levels: dict[str, int], actors: dict[str, Actor]) -> None:
    """Half a year in bulk, then the last weeks as they happened, by the services."""
    lessons = studio.make(actors["dianzhang"], levels)
    left_out = story.without_classes(families)
    owing = {number for number in families if story.balance(number) < 0}
    trying = orders.newcomers(families, left_out)
    booked = classes.plan(families, lessons, left_out=left_out.union(trying), owing=owing)
    paid = classes.net(booked)
    history.write(
        families,
        {number: story.balance(number) + paid.get(number, money.ZERO) for number in families},
        before=min(one.at for one in booked),
    )
    happenings = [
        *story.happenings(families, actors),
        *classes.happenings(booked, actors),
        *orders.happenings(families, lessons, left_out, actors),
        *waits.happenings(families, lessons, left_out, actors),
        *makeups.happenings(families, booked, left_out, actors),
        *withdrawals.happenings(families, actors),
    ]
    for _, act in sorted(happenings, key=lambda happening: happening[0]):
        act()


def _print_sign_ins() -> None:
    click.echo("  演示账号（密码都是 " + PASSWORD + "，演示环境不要求动态验证码）")
    for username, name, role in STAFF:
        click.echo(f"    {username:<10} {_ROLES[role]} {name}")


def register(app: Flask) -> None:
    app.cli.add_command(group)
