"""WeChat's server API of the mini program: sign-in, phone number, subscribe messages.

wechatpy carries the calls; what it does dangerously is replaced (docs/decisions/0005-wechat-client.md): its own
retry recurses without end while a token stays refused, its token fetch has no timeout, and its sign-in asks for
a token that it does not need.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from redis import Redis, RedisError
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException
from wechatpy.session import SessionStorage
from wechatpy.session.redisstorage import RedisStorage

from app import clock
from app import redis as desk_redis
from app.config import ConfigError, Settings
from app.gateways import http
from app.gateways.errors import GatewayError, Permanent, RateLimited, Temporary, UnknownOutcome

_TOKEN_REFUSED = {40001, 40014, 42001}
#: errcode → seconds to wait: 45009 is the day's quota, the others a minute's
_PAUSES = {45009: 3600, 45011: 60, 45047: 60, 44991: 60}
#: a forced refresh kills the tokens of every process, and WeChat allows 20 a day
_FORCE_GAP = 120

#: seconds without asking Redis after it failed
_REDIS_PAUSE = 5.0

RedisClient = Callable[[], Redis | None]


class CodeRefused(Permanent):
    """WeChat does not take this sign-in or phone code: wrong, used, too old, or the user is blocked."""


class NoConsent(Permanent):
    """43101: the parent has not allowed this message, or it was used up (Q14)."""


class BadRecipient(Permanent):
    """40003: nobody of this mini program has this openid."""


class TemplateWrong(Permanent):
    """The template, its page or one of its values is not as WeChat wants it; `detail` names the field."""


_REFUSALS: dict[int, type[Permanent]] = {
    40029: CodeRefused, 40163: CodeRefused, 40226: CodeRefused, 41008: CodeRefused,
    43101: NoConsent, 40003: BadRecipient,
    40037: TemplateWrong, 47003: TemplateWrong, 41030: TemplateWrong, 40097: TemplateWrong, 43108: TemplateWrong,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in. WeChat's session key is dropped here: nothing needs it."""

    openid: str
    unionid: str | None


class TokenStorage(SessionStorage):
    """wechatpy's session in Redis, so that processes share one token; in this process alone while Redis is away."""

    def __init__(self, redis: RedisClient | None = None, prefix: str = "wechat"):
        self._redis = redis or (lambda: None)
        self._prefix = prefix
        self._own: dict[str, tuple[Any, float]] = {}
        self._silent_until = 0.0

    def get(self, key: str, default: Any = None) -> Any:
        value = self._shared(lambda storage: storage.get(key))
        if value is not None:
            return value
        value, until = self._own.get(key, (None, 0.0))
        return value if until > time.monotonic() else default

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self._own[key] = (value, time.monotonic() + (ttl or 7200))
        self._shared(lambda storage: storage.set(key, value, ttl))

    def delete(self, key: str) -> None:
        self._own.pop(key, None)
        self._shared(lambda storage: storage.delete(key))

    def claim(self, key: str, ttl: int) -> bool:
        """True for the first caller within `ttl` seconds, among all processes where Redis is there."""
        won = self._shared(lambda storage: bool(storage.redis.set(storage.key_name(key), 1, nx=True, ex=ttl)))
        if won is None:
            won = self._own.get(key, (None, 0.0))[1] <= time.monotonic()
        if won:
            self._own[key] = (1, time.monotonic() + ttl)
        return won

    def _shared(self, action: Callable[[RedisStorage], Any]) -> Any:
        if time.monotonic() < self._silent_until:
            return None
        try:
            client = self._redis()
            return None if client is None else action(RedisStorage(client, self._prefix))
        except (RedisError, ConfigError, OSError, ValueError):
            self._silent_until = time.monotonic() + _REDIS_PAUSE
            return None


class _Pooled:
    """What wechatpy calls its `requests.Session`: our bounded client, whichever process we are in."""

    @staticmethod
    def request(method: str, url: str, *, label: str, timeout: Any = None, **kwargs: Any) -> requests.Response:
        return http.request(method, url, label=label, **kwargs)


class WeChatMini(WeChatClient):
    """The mini program's client. Every method raises GatewayError and refuses to run inside a transaction."""

    def __init__(self, base_url: str, appid: str, secret: str, storage: TokenStorage | None = None):
        super().__init__(appid, secret, session=storage or TokenStorage(), auto_retry=False)
        self._http.close()
        self._http = _Pooled()
        self._refreshing = threading.Lock()
        self.base_url = base_url
        self.API_BASE_URL = f"{base_url}/cgi-bin/"

    # ── sign-in ─────────────────────────────────────────────────────────────────────────────────────

    def code_to_session(self, code: str) -> Identity:
        """Who gave this `wx.login` code; good once, for five minutes. Raises CodeRefused."""
        label = "wechat.sign_in"
        body = self._answer(
            http.request(
                "GET",
                f"{self.base_url}/sns/jscode2session",
                label=label,
                params={
                    "appid": self.appid,
                    "secret": self.secret,
                    "js_code": code,
                    "grant_type": "authorization_code",
                },
            ),
            label,
        )
        openid, unionid = body.get("openid"), body.get("unionid")
        if not _is_id(openid):
            raise UnknownOutcome(label, "no_openid")
        return Identity(openid, unionid if _is_id(unionid) else None)

    def get_phone_number(self, code: str) -> str:
        """The number behind a phone code, e.g. `13800001234`; foreign ones as `+85291234567`. Raises CodeRefused."""
        label = "wechat.phone"
        body = self._call("post", "wxa/business/getuserphonenumber", label, data={"code": code})
        info = body.get("phone_info") or {}
        number, country = str(info.get("purePhoneNumber") or ""), str(info.get("countryCode") or "86")
        if not number.isdigit():
            raise UnknownOutcome(label, "no_number")
        return number if country == "86" else f"+{country}{number}"

    # ── messages ────────────────────────────────────────────────────────────────────────────────────

    def send_subscribe_message(
        self,
        openid: str,
        template_id: str,
        data: dict[str, str],
        page: str | None = None,
        *,
        miniprogram_state: str = "formal",
        lang: str = "zh_CN",
    ) -> str | None:
        """Send one message and return WeChat's id of it. `data` maps field keys (`thing1`) to their texts.

        Raises NoConsent, BadRecipient, TemplateWrong, RateLimited, Temporary, UnknownOutcome, Permanent.
        """
        message = {
            "touser": openid,
            "template_id": template_id,
            "data": {key: {"value": value} for key, value in data.items()},
            "miniprogram_state": miniprogram_state,
            "lang": lang,
        }
        if page:
            message["page"] = page
        body = self._call("post", "cgi-bin/message/subscribe/send", "wechat.subscribe_message", data=message)
        return None if body.get("msgid") is None else str(body["msgid"])

    def upload_shipping_info(self, *, transaction_id: str, openid: str, item: str, at: datetime) -> None:
        """Say that what was paid for was delivered, as a virtual good: WeChat holds back the money otherwise (O20).

        Said twice is no error. Raises GatewayError.
        """
        order = {
            "order_key": {"order_number_type": 2, "transaction_id": transaction_id},
            "logistics_type": 3, "delivery_mode": 1, "shipping_list": [{"item_desc": item[:120]}],
            "upload_time": clock.local(at).isoformat(timespec="milliseconds"), "payer": {"openid": openid},
        }  # fmt: skip
        try:
            self._call("post", "wxa/sec/order/upload_shipping_info", "wechat.shipping", data=order)
        except Permanent as error:
            if error.code != "10060003":  # it is known to be delivered
                raise

    def list_templates(self) -> list[dict[str, Any]]:
        """The account's message templates: `priTmplId`, `title`, `content`, `example`, `type`."""
        return list(self._call("get", "wxaapi/newtmpl/gettemplate", "wechat.list_templates").get("data") or [])

    # ── the access token ────────────────────────────────────────────────────────────────────────────

    @property
    def access_token(self) -> str:
        """The token of the account, shared by all processes; fetched when there is none."""
        return self.session.get(self.access_token_key) or self._renew(None)

    def fetch_access_token(self, force: bool = False) -> dict[str, Any]:
        """Ask for the stable token: WeChat gives every asker the same one until it is about to end."""
        label = "wechat.token"
        body = self._answer(
            http.request(
                "POST",
                f"{self.base_url}/cgi-bin/stable_token",
                label=label,
                json={
                    "grant_type": "client_credential",
                    "appid": self.appid,
                    "secret": self.secret,
                    "force_refresh": force,
                },
            ),
            label,
        )
        if not isinstance(body.get("access_token"), str):
            raise Temporary(label, "no_token")
        lifetime = int(body.get("expires_in") or 7200)
        self.session.set(self.access_token_key, body["access_token"], max(lifetime - 300, 30))
        return body

    def _renew(self, refused: str | None) -> str:
        """A token other than the refused one, as far as WeChat gives one."""
        with self._refreshing:
            token = self.session.get(self.access_token_key)
            if token and token != refused:
                return token  # another thread or process was faster
            token = self.fetch_access_token()["access_token"]
            if token == refused and self.session.claim(f"{self.appid}_forced", _FORCE_GAP):
                token = self.fetch_access_token(force=True)["access_token"]
            return token

    # ── one call ────────────────────────────────────────────────────────────────────────────────────

    def _call(self, method: str, path: str, label: str, **kwargs: Any) -> dict[str, Any]:
        """A call with a token. A refused token is renewed and the call made once more, at once (96.79)."""
        token = self.access_token
        body = self._exchange(method, path, label, token, **kwargs)
        if body.get("errcode") in _TOKEN_REFUSED:
            body = self._exchange(method, path, label, self._renew(token), **kwargs)
        return _judge(body, label)

    def _exchange(self, method: str, path: str, label: str, token: str, **kwargs: Any) -> dict[str, Any]:
        url = f"{self.base_url}/{path}"
        try:
            result = self._request(method, url, label=label, params={"access_token": token}, **kwargs)
        except WeChatClientException as error:
            # The exception's request holds the token, so nothing of it but code and words goes on.
            result = {"errcode": error.errcode, "errmsg": str(error.errmsg)}
            response = error.response
        else:
            response = None
        if isinstance(result, requests.Response):
            raise UnknownOutcome(label, "not_json")
        if result.get("errcode", 0) is None:
            http.check(response, label)
        return result

    @staticmethod
    def _answer(response: requests.Response, label: str) -> dict[str, Any]:
        return _judge(http.read_json(http.check(response, label), label), label)


def _is_id(value: Any) -> bool:
    """WeChat's ids have 28 ASCII characters today; the columns hold 64."""
    return isinstance(value, str) and value.isascii() and 1 <= len(value) <= 64


def _judge(body: dict[str, Any], label: str) -> dict[str, Any]:
    """The answer, or the error that its errcode means: WeChat reports errors as HTTP 200."""
    errcode = body.get("errcode") or 0
    if errcode == 0:
        return body
    detail = str(body.get("errmsg") or "")
    raise _error_of(label, errcode, detail)


def _error_of(label: str, errcode: int, detail: str) -> GatewayError:
    code = str(errcode)
    if errcode in _PAUSES:
        return RateLimited(label, code, detail, retry_after=_PAUSES[errcode])
    if errcode == -1 or errcode in _TOKEN_REFUSED:
        return Temporary(label, code, detail)
    return _REFUSALS.get(errcode, Permanent)(label, code, detail)


_clients: dict[tuple[str, str, str], WeChatMini] = {}


def from_settings(settings: Settings) -> WeChatMini:
    """The process's client of this account; needs an application context for the Redis that shares its token."""
    key = (settings.wechat_api_url, settings.wechat_appid, settings.wechat_secret)
    if key not in _clients:
        _clients[key] = WeChatMini(*key, storage=TokenStorage(desk_redis.client))
    return _clients[key]
