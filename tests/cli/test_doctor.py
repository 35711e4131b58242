"""`flask doctor`: what is wrong, how to mend it, and nothing secret on the screen."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from app import create_app, vault
from app.db import db, transaction
from app.domain.people.models import Staff, User
from app.domain.policy import changes
from app.gateways import tls
from tests import factories
from tests.conftest import make_settings
from tests.portal import make_staff


@pytest.fixture
def run(app, monkeypatch):
    def run(*args: str):
        done = app.test_cli_runner().invoke(args=["doctor", *(args or ("--offline",))])
        db.session.rollback()
        return done

    for name in ("DESK_INSTANCE_DIR", "DESK_DATABASE_URL", "DESK_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    return run


def test_a_sound_desk(run):
    make_staff("admin")
    make_staff("finance")
    make_staff("manager")
    done = run()
    assert done.exit_code == 0, done.output
    assert "没有发现问题" in done.output


def test_who_is_missing_is_said(run):
    done = run()
    assert "没有管理员" in done.output
    assert "flask staff create" in done.output
    assert "合计不足两人" in done.output


def test_a_misspelt_setting_is_found(run, monkeypatch):
    monkeypatch.setenv("DESK_FESHU_MONEY_URL", "https://example.com/hook")
    done = run()
    assert "DESK_FESHU_MONEY_URL：不认识这个设置" in done.output
    assert "是不是 DESK_FEISHU_MONEY_URL" in done.output


def test_no_secret_is_shown(run, monkeypatch):
    monkeypatch.setenv("DESK_SECRET_KEY", "a-secret-key-that-nobody-may-see-on-a-screen")
    monkeypatch.setenv("DESK_DATABASE_URL", "mysql+pymysql://desk:pass-word-1@db/desk")
    monkeypatch.setenv("DESK_METRICS_TOKEN", "metrics-token-1")
    done = run()
    assert "DESK_SECRET_KEY：已设置" in done.output
    for secret in ("nobody-may-see", "pass-word-1", "metrics-token-1"):
        assert secret not in done.output


def test_a_data_key_that_does_not_open_the_data(run):
    factories.make_family(phone="13712345678")
    vault_keys = dict(vault._keys)
    vault._keys.clear()
    try:
        done = run()
    finally:
        vault._keys.update(vault_keys)
    assert done.exit_code == 1
    assert "打不开已有的手机号" in done.output
    assert "DESK_DATA_KEYS" in done.output


def test_an_index_key_that_does_not_find_the_data(run):
    made = factories.make_family(phone="13712345678")
    with transaction():
        db.session.execute(sa.update(User).where(User.id == made.user_id).values(phone_index="0" * 32))
    done = run()
    assert done.exit_code == 1
    assert "DESK_INDEX_KEY：与数据不符" in done.output


def test_the_second_factor_turned_off_is_said(run):
    changes.set_by_command(name="totp_required", value="off", who="test")
    assert "flask policy set totp_required on" in run().output


def test_a_schema_behind_fails_with_its_remedy(tmp_path):
    app = create_app(make_settings(f"sqlite:///{tmp_path / 'empty.db'}", tmp_path))
    done = app.test_cli_runner().invoke(args=["doctor", "--offline"])
    assert done.exit_code == 1
    assert "运行 flask db upgrade" in done.output


def test_the_outside_that_does_not_answer(tmp_path):
    settings = make_settings(
        "sqlite:////nonexistent/desk.db", tmp_path, DESK_WECHAT_API_URL="http://127.0.0.1:1",
        DESK_FEISHU_MONEY_URL="http://127.0.0.1:1/hook", DESK_FEISHU_SYSTEM_URL="http://nobody.invalid/hook",
        DESK_STORAGE_URL="file:/proc/nowhere",
    )  # fmt: skip
    done = create_app(settings).test_cli_runner().invoke(args=["doctor"])
    assert done.exit_code == 1
    assert "✗ 凭证存储" in done.output
    assert "! 微信：连不上" in done.output
    assert "沙箱没有运行" in done.output
    assert "✗ 飞书 system" in done.output
    assert "检查 DESK_FEISHU_SYSTEM_URL" in done.output


def test_days_of_a_certificate():
    now = datetime(2026, 11, 1, tzinfo=UTC)
    assert tls.days_left({"notAfter": "Nov 11 00:00:00 2026 GMT"}, now) == 10
    assert tls.days_left({"notAfter": "Oct 31 00:00:00 2026 GMT"}, now) == -1


def test_data_is_rotated_to_the_newest_key(app):
    factories.make_family(phone="13712345678", birthday="2018-05-01")
    make_staff("finance")
    old_keys, old_newest = dict(vault._keys), vault._newest
    try:
        vault.install([("t2", b"2" * 32), *old_keys.items()], "test-index-key-that-is-long-enough-too")
        runner = app.test_cli_runner()
        first = runner.invoke(args=["data", "rotate"])
        assert first.exit_code == 0, first.output
        assert "手机号：1 条" in first.output
        again = runner.invoke(args=["data", "rotate"])
        assert "手机号：0 条" in again.output
        vault.install([("t2", b"2" * 32)], "test-index-key-that-is-long-enough-too")
        db.session.expire_all()
        assert db.session.scalar(sa.select(User.phone).where(User.phone.is_not(None))) == "13712345678"
        assert db.session.scalar(sa.select(Staff.totp_secret).where(Staff.totp_secret.is_not(None)))
    finally:
        vault.install(
            [(old_newest, old_keys[old_newest]), *((k, v) for k, v in old_keys.items() if k != old_newest)],
            "test-index-key-that-is-long-enough-too",
        )


def test_indexes_are_rebuilt(app):
    made = factories.make_family(phone="13712345678")
    with transaction():
        db.session.execute(sa.update(User).where(User.id == made.user_id).values(phone_index=None, phone_tail=None))
        db.session.execute(sa.text("DELETE FROM search_terms"))
    done = app.test_cli_runner().invoke(args=["data", "reindex"])
    assert done.exit_code == 0, done.output
    from app.domain.search import queries

    assert [hit.family_id for hit in queries.find("zxm")] == [made.id]
    assert [hit.family_id for hit in queries.find("5678")] == [made.id]


def test_the_audit_command_names_what_is_broken(live_app):
    runner = live_app.test_cli_runner()
    with live_app.app_context():
        factories.make_family(balance="10.00")
        from datetime import timedelta

        from app import clock

        with clock.travel(by=timedelta(minutes=2)):
            sealed = runner.invoke(args=["audit", "seal"])
        assert "已封存" in sealed.output
        sound = runner.invoke(args=["audit", "verify"])
        assert sound.exit_code == 0, sound.output
        db.session.execute(sa.text("DROP TRIGGER audit_log_no_update"))
        db.session.execute(sa.text("UPDATE audit_log SET reason = '别的'"))
        db.session.commit()
        broken = runner.invoke(args=["audit", "verify"])
    assert broken.exit_code == 1
    assert "封条 1 不符" in broken.output


@pytest.fixture
def with_account(app, monkeypatch):
    def use(**changed):
        settings = app.extensions["desk.settings"]
        account = dataclasses.replace(settings.wxpay, **changed)
        monkeypatch.setitem(app.extensions, "desk.settings", dataclasses.replace(settings, wxpay=account))

    return use


def test_a_payment_account_that_is_complete(run):
    assert "✓ 微信支付：商户 1900000001" in run().output


def test_a_payment_account_that_is_not_there(run, with_account):
    with_account(mchid="", apiv3_key="")
    output = run().output
    assert "! 微信支付：不能收款，缺少 DESK_WXPAY_MCHID、DESK_WXPAY_APIV3_KEY" in output
    assert ".env.example" in output


@pytest.mark.parametrize("pem", ["no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_payment_keys_that_are_no_keys(run, with_account, pem):
    with_account(private_key=pem, public_keys=(("PUB_KEY_ID_1", pem),))
    done = run()
    assert done.exit_code == 1
    assert "DESK_WXPAY_PRIVATE_KEY_FILE：读不出 RSA 私钥" in done.output
    assert "PUB_KEY_ID_1 的文件读不出 RSA 公钥" in done.output
    assert "微信支付：商户" not in done.output
