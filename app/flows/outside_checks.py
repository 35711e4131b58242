"""`flask doctor`: what the settings reach outside — store, WeChat, Feishu, certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from app import config
from app.config import FEISHU_GROUPS, Settings
from app.flows import template_check
from app.gateways import storage, tls, wechat_mini
from app.gateways.errors import GatewayError

OK, WARNING, ERROR = "ok", "warning", "error"
#: a certificate that ends sooner should be renewed now
FEW_DAYS = 14


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `text` says how it is, `remedy` how to mend it; `days` that a certificate is good for."""

    name: str
    level: str
    text: str
    remedy: str = ""
    days: int | None = None


def all_checks() -> Iterator[Finding]:
    """Every finding about the outside, one after the other: some take seconds. Never raises."""
    settings = config.current()
    yield from _guarded("凭证存储", settings.storage_url, "检查 DESK_STORAGE_URL 与存储的读写权限", _store)
    yield from _guarded(
        "微信", settings.wechat_api_url,
        "检查 DESK_WECHAT_APPID、DESK_WECHAT_SECRET、DESK_WECHAT_API_URL，以及公众平台的 IP 白名单", _wechat,
    )  # fmt: skip
    for group in FEISHU_GROUPS:
        remedy = f"检查 DESK_FEISHU_{group.upper()}_URL"
        yield from _guarded(f"飞书 {group}", settings.feishu[group].url, remedy, partial(_feishu, group=group))
    yield from _guarded("公网地址", settings.public_url, "检查 DESK_PUBLIC_URL、域名解析与证书", _public)


def _guarded(name: str, url: str, remedy: str, look: Callable[[Settings], Iterator[Finding]]) -> Iterator[Finding]:
    settings = config.current()
    try:
        yield from look(settings)
    except (GatewayError, OSError, ValueError) as error:
        text = f"连不上或被拒绝：{error}" if isinstance(error, GatewayError) else f"{type(error).__name__}：{error}"
        if config.is_local(url) and not settings.production:
            yield Finding(name, WARNING, text, "沙箱没有运行：make run 会一起启动它")
        else:
            yield Finding(name, ERROR, text, remedy)


def _store(settings: Settings) -> Iterator[Finding]:
    store = storage.open_store(
        settings.storage_url, access_key=settings.storage_access_key, secret_key=settings.storage_secret_key
    )
    key, probe = storage.new_key(), b"doctor"
    store.put(key, probe)
    same = store.get(key) == probe
    store.delete(key)
    if same:
        yield Finding("凭证存储", OK, f"可写、可读、可删（{urlsplit(settings.storage_url).scheme}）")
    else:
        yield Finding("凭证存储", ERROR, "读出的内容与写入的不同", "检查 DESK_STORAGE_URL 指向的存储")


def _wechat(settings: Settings) -> Iterator[Finding]:
    client = wechat_mini.from_settings(settings)
    client.access_token  # noqa: B018 - a property that asks WeChat
    yield Finding("微信", OK, f"已取得访问令牌（{settings.wechat_api_url}）")
    wrong = template_check.differences()
    for item in wrong:
        yield Finding(f"模板 {item.type}", ERROR, f"{item.template_id}：{item.problem}", item.remedy)
    if not wrong:
        yield Finding("消息模板", OK, "全部与小程序后台一致")


def _feishu(settings: Settings, *, group: str) -> Iterator[Finding]:
    """Without sending a card: a group is no place for test messages."""
    bot = settings.feishu[group]
    name, variable = f"飞书 {group}", f"DESK_FEISHU_{group.upper()}"
    if not bot.url:
        yield Finding(name, WARNING, "没有设置：这个群收不到任何通知", f"设置 {variable}_URL 与 {variable}_SECRET")
        return
    if not bot.secret:
        yield Finding(
            name, WARNING, "没有签名密钥：地址泄露后任何人都能冒充", f"在机器人里打开签名校验，并设置 {variable}_SECRET"
        )
    yield from _reach(name, bot.url)


def _public(settings: Settings) -> Iterator[Finding]:
    if config.is_local(settings.public_url):
        yield Finding("公网地址", WARNING if settings.production else OK, f"{settings.public_url}（仅本机）")
        return
    yield from _reach("公网地址", settings.public_url)


def _reach(name: str, url: str) -> Iterator[Finding]:
    """Connect, and with TLS say how long the certificate is good for."""
    host = urlsplit(url).hostname
    days = tls.reach(url)
    if days is None:
        yield Finding(name, OK, f"{host} 可以连接")
        return
    level = OK if days > FEW_DAYS else WARNING if days > 0 else ERROR
    yield Finding(name, level, f"{host} 可以连接，证书还有 {days} 天", "" if level == OK else "更新证书", days)
