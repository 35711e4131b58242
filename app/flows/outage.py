"""A database that is away for minutes, told to the SYSTEM group past the outbox, which lies in that database (Z11)."""

from __future__ import annotations

import logging
import platform
import time
from datetime import timedelta

from app import config
from app.domain.watch.alerts import lasting
from app.gateways import feishu
from app.gateways.errors import GatewayError

log = logging.getLogger("desk.outage")

#: seconds after which it is told, and between two tries to do so
PATIENCE, AGAIN = 120.0, 60.0


class Outage:
    """Of one scheduler. Any number may run: each tells for its own machine what it cannot reach."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._tried = -AGAIN
        self._told = False

    def away(self) -> None:
        """It cannot be reached now. Needs an application context; never raises."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not self._told and now - self._since >= PATIENCE and now - self._tried >= AGAIN:
            self._tried = now
            text = "期间不能登录、预约和付款，其他告警也发不出。请检查数据库与网络，恢复后会再通知。"
            self._told = self._send("告警：数据库连接不上", "red", text)

    def back(self) -> None:
        """It answers. Who was told of its absence hears so; needs an application context, never raises."""
        if self._told:
            if time.monotonic() - self._tried < AGAIN:
                return
            self._tried = time.monotonic()
            if not self._send("已恢复：数据库连接不上", "green", "积压的消息与到期事项会自动补办。"):
                return
        self._since, self._told = None, False

    def _send(self, title: str, colour: str, text: str) -> bool:
        settings = config.current()
        bot = settings.feishu["system"]
        if not bot.url:
            return True  # nobody to tell
        lasted = lasting(timedelta(seconds=time.monotonic() - (self._since or 0.0)))
        card = {"title": title, "colour": colour, "lines": [["机器", platform.node()], ["已持续", lasted]],
                "text": text}  # fmt: skip
        try:
            feishu.send(bot.url, bot.secret, feishu.card_body(card, settings.public_url))
        except (GatewayError, OSError) as error:
            log.warning("the outage could not be told", extra={"error": type(error).__name__})
            return False
        return True
