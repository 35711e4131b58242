"""`flask demo`: deterministic, once, refused in production, and true to the ledger's rules."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from app import create_app
from app.cli.demo.names import STAFF, household
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.desk.models import Receipt, WalletAdjustment
from app.domain.ledger import verify
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.people.models import Family, Level, Profile, Staff, User
from app.domain.search import queries as search
from sandbox.parents import DEMO_PARENTS
from tests.conftest import make_settings

pytestmark = pytest.mark.concurrency

COUNTED = (Family, User, Profile, Level, Staff, Wallet, WalletTransaction, WalletAdjustment, Receipt, Notification,
           AuditEntry)  # fmt: skip


def run(app, *args: str):
    return app.test_cli_runner().invoke(args=["demo", *args])


def counts() -> dict[str, int]:
    db.session.rollback()
    return {m.__tablename__: db.session.scalar(sa.select(sa.func.count()).select_from(m)) for m in COUNTED}


def ledger_is_true() -> bool:
    db.session.rollback()
    return not verify.run(full=True).findings


def test_the_demo_from_nothing_to_large(live_app):
    """One long test: making the demo takes seconds, and each part looks at what the part before it made."""
    first = run(live_app, "prepare")
    assert first.exit_code == 0, first.output
    for username, _, _ in STAFF:
        assert username in first.output

    with live_app.app_context():
        _check_people()
        _check_desk()
        assert ledger_is_true()
        made = counts()

        assert run(live_app, "seed").exit_code == 0
        assert counts() == made, "run again it makes nothing"

        large = run(live_app, "seed", "--families", "150", "--transactions", "3000")
        assert large.exit_code == 0, large.output
        filled = counts()
        assert (filled["families"], filled["wallet_transactions"]) == (150, 3000)
        assert filled["wallets"] == 150
        assert ledger_is_true()
        assert run(live_app, "seed", "--families", "150", "--transactions", "3000").exit_code == 0
        assert counts()["wallet_transactions"] == 3000
        _check_bulk_people()


def _check_people() -> None:
    for parent in DEMO_PARENTS:
        user = db.session.scalars(sa.select(User).where(User.openid == parent.openid)).one()
        assert (user.real_name, user.phone) == (parent.name, parent.phone)
    assert {staff.role for staff in db.session.scalars(sa.select(Staff))} == {
        "front_desk", "finance", "manager", "auditor", "admin",
    }  # fmt: skip
    found = search.find("zxm")
    assert "张小明" in re.sub(r"<[^>]+>", "", repr(found))


def _check_desk() -> None:
    states = {tuple(row) for row in db.session.execute(sa.select(WalletAdjustment.status, WalletAdjustment.cause))}
    assert states >= {("completed", None), ("pending", None), ("cancelled", "rejected"), ("cancelled", "withdrawn"),
                      ("cancelled", "lapsed")}  # fmt: skip
    wallets = {wallet.status for wallet in db.session.scalars(sa.select(Wallet))}
    assert wallets == {"active", "frozen", "closed"}
    low, high = db.session.execute(sa.select(sa.func.min(Wallet.balance), sa.func.max(Wallet.balance))).one()
    assert low <= -640 < 2000 < high
    assert set(db.session.scalars(sa.select(Notification.status))) >= {"sent", "failed", "pending"}


def _check_bulk_people() -> None:
    last = db.session.scalars(sa.select(User).order_by(User.id.desc()).limit(1)).one()
    assert re.fullmatch(r"1[5-9][0-9]{9}", last.phone)
    assert db.session.scalars(sa.select(Profile).where(Profile.family_id == last.family_id)).one().birthday


def test_the_same_number_is_the_same_family():
    assert household(77) == household(77)
    homes = [household(number) for number in range(1, 200)]
    assert len({home.openid for home in homes}) == len({home.phone for home in homes}) == len(homes)


def test_a_demo_that_broke_off_is_not_built_upon(live_app):
    from tests.factories import make_family

    with live_app.app_context():
        made = make_family()
        db.session.execute(sa.text("UPDATE users SET openid = 'demo-parent-01' WHERE id = :id"), {"id": made.user_id})
        db.session.commit()
        before = counts()
        done = run(live_app, "seed")
        assert done.exit_code == 1
        assert "没有建完" in done.output
        assert counts() == before


@pytest.mark.parametrize("command", ["seed", "prepare"])
def test_production_has_no_demo(tmp_path, command):
    settings = make_settings(
        "mysql+pymysql://nobody@127.0.0.1:1/none", tmp_path, DESK_ENV="production", DESK_PUBLIC_URL="https://desk.test",
        DESK_WECHAT_APPID="wx1", DESK_WECHAT_SECRET="s", DESK_REDIS_URL="redis://127.0.0.1:1/0",
        **{f"DESK_FEISHU_{group}_URL": "https://open.feishu.cn/x" for group in ("MONEY", "WAITLIST", "SYSTEM")},
    )  # fmt: skip
    done = run(create_app(settings), command)
    assert done.exit_code == 1
    assert "生产环境" in done.output
