"""Environment → one frozen settings object. A bad value is refused with a hint on how to mend it.

Every variable is listed in `.env.example`. Nothing else in the project reads the environment.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values
from flask import current_app

from app import pay_keys

ROOT = Path(__file__).resolve().parent.parent
SANDBOX_URL = "http://127.0.0.1:8900"

MESSAGE_TYPES = (
    "booking_made", "booking_cancelled", "class_reminder", "class_cancelled", "class_changed", "payment_result",
    "payment_expired", "refund_result", "balance_changed", "low_balance", "arrears", "waitlist_offer",
    "seat_taken", "waitlist_expired", "makeup_credit", "compensation_ending", "withdrawal_result",
)  # fmt: skip
FEISHU_GROUPS = ("money", "waitlist", "system")


class ConfigError(Exception):
    """A setting is missing or wrong; the text says which, and what to do."""


@dataclass(frozen=True)
class FeishuBot:
    url: str
    secret: str


@dataclass(frozen=True)
class WeChatPay:
    """A WeChat Pay v3 account in public-key mode. Without credentials the app runs and says what is missing (O13)."""

    mchid: str
    cert_serial: str
    api_url: str
    #: PEM text of the merchant's private key, and the 32 characters that callbacks are encrypted with
    private_key: str = field(repr=False)
    apiv3_key: str = field(repr=False)
    #: (key id, PEM text) of WeChat's public keys, newest first: two are good while they are changed over (S7)
    public_keys: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the settings that are not there."""
        there = {
            "DESK_WXPAY_MCHID": self.mchid, "DESK_WXPAY_CERT_SERIAL": self.cert_serial,
            "DESK_WXPAY_PRIVATE_KEY_FILE": self.private_key, "DESK_WXPAY_APIV3_KEY": self.apiv3_key,
            "DESK_WXPAY_PUBLIC_KEY_ID": self.public_keys, "DESK_WXPAY_PUBLIC_KEY_FILE": self.public_keys,
        }  # fmt: skip
        return tuple(name for name, value in there.items() if not value)


@dataclass(frozen=True)
class Settings:
    """All settings, typed. Durations in seconds, sizes in bytes."""

    env: str
    secret_key: str
    previous_secret_keys: tuple[str, ...]
    data_keys: tuple[tuple[str, bytes], ...]  # (key id, 32 bytes); the first encrypts, all decrypt (S11)
    index_key: str  # behind the blind indexes; kept when the data keys rotate
    database_url: str
    redis_url: str
    public_url: str
    storage_url: str
    storage_access_key: str  # of an S3-compatible store
    storage_secret_key: str
    instance_dir: Path
    wechat_appid: str
    wechat_secret: str
    wechat_api_url: str
    wxpay: WeChatPay
    feishu: Mapping[str, FeishuBot]
    templates: Mapping[str, str]  # message type → WeChat template id
    database_pool_size: int
    database_timeout: int
    workers: int
    rate_limits: bool
    metrics_token: str
    trusted_proxies: int
    demo: bool
    log_format: str = "json"  # `json`, or `text` for a terminal
    log_level: str = "INFO"
    testing: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def production(self) -> bool:
        return self.env == "production"

    @property
    def uses_sandbox(self) -> bool:
        outside = (self.wechat_api_url, self.wxpay.api_url, *(bot.url for bot in self.feishu.values()))
        return any(is_local(url) for url in outside)


def current() -> Settings:
    """The settings of the running application; needs an application context."""
    return current_app.extensions["desk.settings"]


def is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def load(environ: Mapping[str, str] | None = None, **overrides) -> Settings:
    """Read `DESK_*` variables, and `.env` for those that are not set; raise ConfigError on the first bad one."""
    env = {**read_dotenv(), **os.environ} if environ is None else dict(environ)
    mode = _choice(env, "DESK_ENV", "development", ("development", "production", "test"))
    instance = Path(env.get("DESK_INSTANCE_DIR") or ROOT / "instance")
    production = mode == "production"
    settings = Settings(
        env=mode,
        secret_key=_secret_key(env, instance, production),
        previous_secret_keys=tuple(k for k in env.get("DESK_SECRET_KEY_PREVIOUS", "").split(",") if k),
        data_keys=_data_keys(env, instance, production),
        index_key=_index_key(env, instance, production),
        database_url=_database_url(env, instance),
        redis_url=_redis_url(env),
        public_url=env.get("DESK_PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/"),
        storage_url=_storage_url(env, instance),
        storage_access_key=env.get("AWS_ACCESS_KEY_ID", ""),
        storage_secret_key=env.get("AWS_SECRET_ACCESS_KEY", ""),
        instance_dir=instance,
        wechat_appid=env.get("DESK_WECHAT_APPID", "" if production else "wxsandbox0000000001"),
        wechat_secret=env.get("DESK_WECHAT_SECRET", "" if production else "sandbox-secret"),
        wechat_api_url=_wechat_url(env, production),
        wxpay=_wxpay(env, instance, production),
        feishu={g: _feishu_bot(env, g, production) for g in FEISHU_GROUPS},
        templates={t: env.get(f"DESK_TEMPLATE_{t.upper()}") or f"sandbox-tmpl-{t}" for t in MESSAGE_TYPES},
        database_pool_size=_int(env, "DESK_DATABASE_POOL_SIZE", 10, 1, 200),
        database_timeout=_int(env, "DESK_DATABASE_TIMEOUT", 5, 1, 600),
        workers=_int(env, "DESK_WORKERS", min(os.cpu_count() or 2, 4), 1, 64),
        rate_limits=_choice(env, "DESK_RATE_LIMITS", "on", ("on", "off")) == "on",
        metrics_token=env.get("DESK_METRICS_TOKEN", ""),
        trusted_proxies=_int(env, "DESK_TRUSTED_PROXIES", 0, 0, 5),
        demo=env.get("DESK_DEMO", "") == "1",
        log_format=_choice(env, "DESK_LOG_FORMAT", "text" if mode == "development" else "json", ("json", "text")),
        log_level=_choice(env, "DESK_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        **overrides,
    )
    if production:
        _refuse_unsafe(settings)
    return settings


def read_dotenv() -> dict[str, str]:
    """What `.env` beside `wsgi.py` says; empty without one."""
    return {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name) or default
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is not one of {', '.join(allowed)}")
    return value


def _int(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise ConfigError(f"{name}={text!r} must be a whole number from {low} to {high}")
    return int(text)


def _kept_secret(path: Path, make) -> str:
    """Development only: make a secret once and keep it, so that sign-ins survive a restart."""
    if path.exists():
        return path.read_text().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    value = make()
    # Two processes of `make run` may come here at once: the first to link its file wins.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(value)
    try:
        os.link(draft, path)
    except FileExistsError:
        value = path.read_text().strip()
    finally:
        draft.unlink()
    return value


def _secret_key(env: Mapping[str, str], instance: Path, production: bool) -> str:
    value = env.get("DESK_SECRET_KEY", "")
    if not value and not production:
        return _kept_secret(instance / "secret_key", lambda: secrets.token_urlsafe(48))
    if len(value) < 32:
        raise ConfigError("DESK_SECRET_KEY needs at least 32 characters: python -c 'import secrets;"
                          "print(secrets.token_urlsafe(48))'")  # fmt: skip
    return value


def _data_keys(env: Mapping[str, str], instance: Path, production: bool) -> tuple[tuple[str, bytes], ...]:
    text = env.get("DESK_DATA_KEYS", "")
    if not text and not production:
        text = _kept_secret(instance / "data_keys", lambda: "k1:" + base64.b64encode(secrets.token_bytes(32)).decode())
    keys = []
    for part in filter(None, text.split(",")):
        name, _, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not name.isalnum() or len(name) > 8 or len(key) != 32:
            raise ConfigError("DESK_DATA_KEYS is a list of id:base64-of-32-bytes, newest first, e.g. k2:…,k1:…")
        keys.append((name, key))
    if not keys:
        raise ConfigError("DESK_DATA_KEYS is missing: it encrypts phones, birthdays and receipts (id:base64…)")
    return tuple(keys)


def _index_key(env: Mapping[str, str], instance: Path, production: bool) -> str:
    value = env.get("DESK_INDEX_KEY", "")
    if not value and not production:
        return _kept_secret(instance / "index_key", lambda: secrets.token_urlsafe(32))
    if len(value) < 32:
        raise ConfigError("DESK_INDEX_KEY needs at least 32 characters; it searches encrypted phone numbers")
    return value


def _database_url(env: Mapping[str, str], instance: Path) -> str:
    url = env.get("DESK_DATABASE_URL") or f"sqlite:///{instance / 'desk.db'}"
    if url.startswith("mysql://"):
        url = "mysql+pymysql://" + url.removeprefix("mysql://")
    if not url.startswith(("sqlite:///", "mysql+pymysql://")):
        raise ConfigError("DESK_DATABASE_URL is sqlite:///path or mysql+pymysql://user:pw@host:3306/db")
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{ROOT / url.removeprefix('sqlite:///')}"
    if url.startswith("mysql+pymysql://") and "charset=" not in url:
        url += ("&" if "?" in url else "?") + "charset=utf8mb4"
    return url


def _storage_url(env: Mapping[str, str], instance: Path) -> str:
    url = env.get("DESK_STORAGE_URL") or f"file:{instance / 'receipts'}"
    if url.startswith("s3://"):
        if not urlsplit(url).netloc:
            raise ConfigError("DESK_STORAGE_URL names no bucket: s3://bucket/prefix?endpoint=https://…")
        if not env.get("AWS_ACCESS_KEY_ID") or not env.get("AWS_SECRET_ACCESS_KEY"):
            raise ConfigError("DESK_STORAGE_URL=s3://… needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        return url
    if not url.startswith("file:") or url == "file:":
        raise ConfigError("DESK_STORAGE_URL is file:folder or s3://bucket/prefix?endpoint=https://…")
    folder = Path(url.removeprefix("file:"))
    return url if folder.is_absolute() else f"file:{ROOT / folder}"


def _redis_url(env: Mapping[str, str]) -> str:
    url = env.get("DESK_REDIS_URL") or "embedded"
    if url != "embedded" and not url.startswith(("redis://", "rediss://", "redis+sentinel://", "unix://")):
        raise ConfigError("DESK_REDIS_URL is embedded, redis://host:6379/0 or redis+sentinel://…")
    return url


def _wechat_url(env: Mapping[str, str], production: bool) -> str:
    default = "https://api.weixin.qq.com" if production else SANDBOX_URL
    return (env.get("DESK_WECHAT_API_URL") or default).rstrip("/")


def _wxpay(env: Mapping[str, str], instance: Path, production: bool) -> WeChatPay:
    keys = None
    if not production and not env.get("DESK_WXPAY_MCHID"):
        keys = pay_keys.ensure(instance / "sandbox-pay")
    default = "https://api.mch.weixin.qq.com" if production else SANDBOX_URL
    apiv3_key = env.get("DESK_WXPAY_APIV3_KEY") or (keys.apiv3_key.read_text() if keys else "")
    if apiv3_key and len(apiv3_key.encode()) != 32:
        raise ConfigError("DESK_WXPAY_APIV3_KEY has 32 characters: it is set in the merchant platform, API security")
    files = (
        ("DESK_WXPAY_PUBLIC_KEY_ID", "DESK_WXPAY_PUBLIC_KEY_FILE"),
        ("DESK_WXPAY_PREVIOUS_PUBLIC_KEY_ID", "DESK_WXPAY_PREVIOUS_PUBLIC_KEY_FILE"),
    )
    public_keys = tuple((env[number], _file(env, file)) for number, file in files if env.get(number) and env.get(file))
    if keys and not public_keys:
        public_keys = ((pay_keys.PUBLIC_KEY_ID, keys.platform_public.read_text()),)
    return WeChatPay(
        mchid=env.get("DESK_WXPAY_MCHID") or (pay_keys.MCHID if keys else ""),
        cert_serial=env.get("DESK_WXPAY_CERT_SERIAL") or (pay_keys.CERT_SERIAL if keys else ""),
        api_url=(env.get("DESK_WXPAY_API_URL") or default).rstrip("/"),
        private_key=_file(env, "DESK_WXPAY_PRIVATE_KEY_FILE") or (keys.merchant_key.read_text() if keys else ""),
        apiv3_key=apiv3_key, public_keys=public_keys,
    )  # fmt: skip


def _file(env: Mapping[str, str], name: str) -> str:
    path = env.get(name, "")
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}={path!r} cannot be read: {type(error).__name__}") from None


def _feishu_bot(env: Mapping[str, str], group: str, production: bool) -> FeishuBot:
    name = f"DESK_FEISHU_{group.upper()}"
    default = "" if production else f"{SANDBOX_URL}/open-apis/bot/v2/hook/{group}"
    return FeishuBot(
        url=env.get(f"{name}_URL") or default,
        secret=env.get(f"{name}_SECRET") or ("" if production else f"sandbox-{group}"),
    )


def _refuse_unsafe(settings: Settings) -> None:
    """Production does not start with what only development may have."""
    problems = []
    if settings.uses_sandbox:
        problems.append("a WeChat, WeChat Pay or Feishu address points at this machine's sandbox")
    if not settings.wechat_appid or not settings.wechat_secret:
        problems.append("DESK_WECHAT_APPID and DESK_WECHAT_SECRET are needed")
    if not settings.public_url.startswith("https://"):
        problems.append("DESK_PUBLIC_URL must begin with https://")
    if not settings.rate_limits:
        problems.append("DESK_RATE_LIMITS=off is for development only")
    if settings.demo:
        problems.append("DESK_DEMO=1 is for development only")
    if settings.redis_url == "embedded":
        problems.append("DESK_REDIS_URL must name a Redis server")
    if settings.database_url.startswith("sqlite"):
        problems.append("DESK_DATABASE_URL must name a MySQL or MariaDB server")
    if problems:
        raise ConfigError("DESK_ENV=production refuses to start: " + "; ".join(problems))
