"""The settings: what development fills in, and what is refused, in words that say what to do."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from app import config
from app.config import ROOT, ConfigError

KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
GOOD = {
    "DESK_ENV": "production",
    "DESK_SECRET_KEY": "s" * 32,
    "DESK_DATA_KEYS": f"k1:{KEY}",
    "DESK_INDEX_KEY": "i" * 32,
    "DESK_DATABASE_URL": "mysql://desk:pw@db.internal:3306/desk",
    "DESK_REDIS_URL": "redis://redis.internal:6379/0",
    "DESK_PUBLIC_URL": "https://desk.example.cn/",
    "DESK_WECHAT_APPID": "wx0123456789abcdef",
    "DESK_WECHAT_SECRET": "w" * 32,
    "DESK_INSTANCE_DIR": "/nonexistent",
}


def test_a_good_production_starts():
    settings = config.load(GOOD)
    assert settings.production
    assert not settings.uses_sandbox
    assert settings.database_url == "mysql+pymysql://desk:pw@db.internal:3306/desk?charset=utf8mb4"
    assert settings.public_url == "https://desk.example.cn"
    assert settings.log_format == "json"
    assert settings.data_keys == (("k1", b"0123456789abcdef0123456789abcdef"),)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DESK_SECRET_KEY": ""}, "DESK_SECRET_KEY needs at least 32"),
        ({"DESK_SECRET_KEY": "s" * 31}, "DESK_SECRET_KEY needs at least 32"),
        ({"DESK_INDEX_KEY": ""}, "DESK_INDEX_KEY needs at least 32"),
        ({"DESK_INDEX_KEY": "i" * 31}, "DESK_INDEX_KEY needs at least 32"),
        ({"DESK_DATA_KEYS": ""}, "DESK_DATA_KEYS is missing"),
        ({"DESK_DATA_KEYS": KEY}, "DESK_DATA_KEYS is a list"),
        ({"DESK_DATA_KEYS": "k1:not base64!"}, "DESK_DATA_KEYS is a list"),
        ({"DESK_DATA_KEYS": "k1:" + base64.b64encode(b"short").decode()}, "DESK_DATA_KEYS is a list"),
        ({"DESK_DATA_KEYS": f"k 1:{KEY}"}, "DESK_DATA_KEYS is a list"),
        ({"DESK_DATA_KEYS": f"k12345678:{KEY}"}, "DESK_DATA_KEYS is a list"),
        ({"DESK_DATABASE_URL": ""}, "DESK_DATABASE_URL must name a MySQL"),
        ({"DESK_DATABASE_URL": "sqlite:///desk.db"}, "DESK_DATABASE_URL must name a MySQL"),
        ({"DESK_REDIS_URL": ""}, "DESK_REDIS_URL must name a Redis server"),
        ({"DESK_PUBLIC_URL": "http://desk.example.cn"}, "DESK_PUBLIC_URL must begin with https"),
        ({"DESK_WECHAT_APPID": ""}, "DESK_WECHAT_APPID and DESK_WECHAT_SECRET"),
        ({"DESK_WECHAT_SECRET": ""}, "DESK_WECHAT_APPID and DESK_WECHAT_SECRET"),
        ({"DESK_WECHAT_API_URL": "http://127.0.0.1:8900"}, "sandbox"),
        ({"DESK_FEISHU_MONEY_URL": "http://localhost:8900/hook"}, "sandbox"),
        ({"DESK_WXPAY_API_URL": "http://127.0.0.1:8900"}, "sandbox"),
        ({"DESK_WXPAY_APIV3_KEY": "short"}, "DESK_WXPAY_APIV3_KEY has 32 characters"),
        ({"DESK_WXPAY_PRIVATE_KEY_FILE": "/nonexistent/key.pem"}, "DESK_WXPAY_PRIVATE_KEY_FILE"),
        ({"DESK_RATE_LIMITS": "off"}, "DESK_RATE_LIMITS=off"),
        ({"DESK_DEMO": "1"}, "DESK_DEMO=1"),
    ],
)
def test_an_unsafe_production_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        config.load(GOOD | changes)


def test_everything_that_is_unsafe_is_said_at_once():
    with pytest.raises(ConfigError) as caught:
        config.load(GOOD | {"DESK_DEMO": "1", "DESK_RATE_LIMITS": "off", "DESK_REDIS_URL": "embedded"})
    assert str(caught.value).count(";") == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DESK_ENV": "prod"}, "DESK_ENV='prod' is not one of"),
        ({"DESK_RATE_LIMITS": "no"}, "DESK_RATE_LIMITS='no'"),
        ({"DESK_LOG_FORMAT": "xml"}, "DESK_LOG_FORMAT='xml'"),
        ({"DESK_LOG_LEVEL": "LOUD"}, "DESK_LOG_LEVEL='LOUD'"),
        ({"DESK_WORKERS": "0"}, "DESK_WORKERS='0' must be a whole number from 1 to 64"),
        ({"DESK_WORKERS": "65"}, "DESK_WORKERS"),
        ({"DESK_WORKERS": "２"}, "DESK_WORKERS"),
        ({"DESK_WORKERS": "1.5"}, "DESK_WORKERS"),
        ({"DESK_DATABASE_TIMEOUT": "-1"}, "DESK_DATABASE_TIMEOUT"),
        ({"DESK_DATABASE_POOL_SIZE": "many"}, "DESK_DATABASE_POOL_SIZE"),
        ({"DESK_TRUSTED_PROXIES": "6"}, "DESK_TRUSTED_PROXIES"),
        ({"DESK_DATABASE_URL": "postgresql://db/desk"}, "DESK_DATABASE_URL is sqlite"),
        ({"DESK_REDIS_URL": "memcached://x"}, "DESK_REDIS_URL is embedded"),
        ({"DESK_STORAGE_URL": "ftp://x"}, "DESK_STORAGE_URL is file:folder"),
        ({"DESK_STORAGE_URL": "file:"}, "DESK_STORAGE_URL is file:folder"),
        ({"DESK_STORAGE_URL": "s3://"}, "names no bucket"),
        ({"DESK_STORAGE_URL": "s3://bucket"}, "AWS_ACCESS_KEY_ID"),
        ({"DESK_STORAGE_URL": "s3://bucket", "AWS_ACCESS_KEY_ID": "a"}, "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_bad_value_is_refused_in_development_too(tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        config.load({"DESK_INSTANCE_DIR": str(tmp_path)} | changes)


def test_development_needs_nothing_and_keeps_its_secrets(tmp_path):
    first = config.load({"DESK_INSTANCE_DIR": str(tmp_path / "new")})
    again = config.load({"DESK_INSTANCE_DIR": str(tmp_path / "new")})
    assert (first.secret_key, first.data_keys, first.index_key) == (again.secret_key, again.data_keys, again.index_key)
    assert len(first.secret_key) >= 32
    assert len(first.index_key) >= 32
    assert first.database_url == f"sqlite:///{tmp_path / 'new' / 'desk.db'}"
    assert first.storage_url == f"file:{tmp_path / 'new' / 'receipts'}"
    assert (first.uses_sandbox, first.rate_limits, first.production) == (True, True, False)
    kept = [path for path in Path(tmp_path / "new").iterdir() if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    other = config.load({"DESK_INSTANCE_DIR": str(tmp_path / "other")})
    assert other.secret_key != first.secret_key


def test_of_two_that_start_at_once_one_makes_the_secret(tmp_path):
    path = tmp_path / "secret_key"

    def late() -> str:
        path.write_text("the other's\n")  # another process came between our look and our link
        return "ours"

    assert config._kept_secret(path, late) == "the other's"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize(
    ("changes", "name", "wanted"),
    [
        ({"DESK_DATABASE_URL": "sqlite:///data/desk.db"}, "database_url", f"sqlite:///{ROOT / 'data/desk.db'}"),
        ({"DESK_DATABASE_URL": "sqlite:////tmp/desk.db"}, "database_url", "sqlite:////tmp/desk.db"),
        ({"DESK_DATABASE_URL": "mysql://h/d?ssl_ca=x"}, "database_url",
         "mysql+pymysql://h/d?ssl_ca=x&charset=utf8mb4"),
        ({"DESK_DATABASE_URL": "mysql+pymysql://h/d?charset=utf8mb4"}, "database_url",
         "mysql+pymysql://h/d?charset=utf8mb4"),
        ({"DESK_STORAGE_URL": "file:receipts"}, "storage_url", f"file:{ROOT / 'receipts'}"),
        ({"DESK_STORAGE_URL": "s3://b/p", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, "storage_url",
         "s3://b/p"),
        ({"DESK_SECRET_KEY": "s" * 32, "DESK_SECRET_KEY_PREVIOUS": "a,,b"}, "previous_secret_keys", ("a", "b")),
        ({"DESK_RATE_LIMITS": "off"}, "rate_limits", False),
        ({"DESK_DEMO": "1"}, "demo", True),
        ({"DESK_TEMPLATE_LOW_BALANCE": "tmpl"}, "templates", None),
    ],
)  # fmt: skip
def test_what_is_set_is_taken(tmp_path, changes, name, wanted):
    settings = config.load({"DESK_INSTANCE_DIR": str(tmp_path)} | changes)
    if name == "templates":
        assert settings.templates["low_balance"] == "tmpl"
    else:
        assert getattr(settings, name) == wanted


def test_keys_rotate_newest_first(tmp_path):
    second = base64.b64encode(b"f" * 32).decode()
    settings = config.load({"DESK_INSTANCE_DIR": str(tmp_path), "DESK_DATA_KEYS": f"k2:{second}, k1:{KEY}"})
    assert [name for name, _ in settings.data_keys] == ["k2", "k1"]


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("DESK_WORKERS=3\nDESK_LOG_LEVEL=ERROR\nEMPTY\n")
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setenv("DESK_INSTANCE_DIR", str(tmp_path))
    monkeypatch.setenv("DESK_WORKERS", "5")
    monkeypatch.setenv("DESK_ENV", "development")
    settings = config.load()
    assert (settings.workers, settings.log_level) == (5, "ERROR")


# ── WeChat Pay ──────────────────────────────────────────────────────────────────────────────────────


def test_production_starts_without_a_payment_account_and_says_what_is_missing():
    account = config.load(GOOD).wxpay
    assert account.api_url == "https://api.mch.weixin.qq.com"
    assert set(account.missing) == {
        "DESK_WXPAY_MCHID", "DESK_WXPAY_CERT_SERIAL", "DESK_WXPAY_PRIVATE_KEY_FILE", "DESK_WXPAY_APIV3_KEY",
        "DESK_WXPAY_PUBLIC_KEY_ID", "DESK_WXPAY_PUBLIC_KEY_FILE",
    }  # fmt: skip


def test_two_public_keys_are_good_at_once_and_nothing_secret_is_printed(tmp_path):
    files = {name: tmp_path / name for name in ("own", "new", "old")}
    for name, file in files.items():
        file.write_text(f"pem of {name}")
    account = config.load(
        GOOD
        | {
            "DESK_WXPAY_MCHID": "1900000109", "DESK_WXPAY_CERT_SERIAL": "5157F0", "DESK_WXPAY_APIV3_KEY": "v" * 32,
            "DESK_WXPAY_PRIVATE_KEY_FILE": str(files["own"]),
            "DESK_WXPAY_PUBLIC_KEY_ID": "PUB_KEY_ID_2", "DESK_WXPAY_PUBLIC_KEY_FILE": str(files["new"]),
            "DESK_WXPAY_PREVIOUS_PUBLIC_KEY_ID": "PUB_KEY_ID_1",
            "DESK_WXPAY_PREVIOUS_PUBLIC_KEY_FILE": str(files["old"]),
        }
    ).wxpay  # fmt: skip
    assert account.missing == ()
    assert account.public_keys == (("PUB_KEY_ID_2", "pem of new"), ("PUB_KEY_ID_1", "pem of old"))
    assert "pem of" not in repr(account)
    assert "vvvv" not in repr(account)


def test_development_makes_its_own_payment_account_once(tmp_path):
    first = config.load({"DESK_INSTANCE_DIR": str(tmp_path)}).wxpay
    assert first.missing == ()
    assert first == config.load({"DESK_INSTANCE_DIR": str(tmp_path)}).wxpay
    kept = list((tmp_path / "sandbox-pay").iterdir())
    assert kept
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}
