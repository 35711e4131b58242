"""How often a caller may call (S13).

Sign-in and money are counted in the database and fail closed: they hold without Redis. Reads are counted in Redis
and fail open: a parent who can't see a balance because a counter is away would be the worse outcome (Z6).
"""

from __future__ import annotations

import logging
import math
import threading
import time

from flask import current_app
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import RedisError

from app import config
from app import redis as desk_redis
from app.domain.people import limits
from app.domain.policy import service as policy
from app.errors import TooMany

log = logging.getLogger("desk.api")

_KEY = "desk.api.read_limiter"
#: seconds without asking Redis after it failed: each failing call would cost its time-out
PAUSE = 5.0
#: how often a caller who uses the whole limit is told to Redis in a minute
STEPS = 30
#: with this share of the limit left, each call is told
NEAR = 0.3


def count_sign_in(address: str) -> None:
    """One sign-in from this address. Raises TooMany."""
    if config.current().rate_limits:
        limits.hit(f"signin:parent:{address}", limit=policy.get("limit_sign_in"), window_seconds=60)


def count_money(user_id: int) -> None:
    """One call of this parent that books or moves money. Raises TooMany."""
    if config.current().rate_limits:
        limits.hit(f"money:user:{user_id}", limit=policy.get("limit_money"), window_seconds=60)


def count_read(who: str, most: int) -> None:
    """One other call by `who`, of which `most` are allowed in a minute. Raises TooMany; silent without Redis."""
    if not config.current().rate_limits:
        return
    state = current_app.extensions.setdefault(_KEY, _ReadLimiter())
    wait = state.hit(who, most)
    if wait is not None:
        raise TooMany(retry_after=wait)


class _ReadLimiter:
    """A fixed window in Redis, told of several calls at once: a round trip for each would cost as much as the read.

    A process lets pass up to a thirtieth of the limit before it tells. Near the limit it tells each call, so that the
    first above it is refused however many processes serve a caller; who is over it is refused here until the window
    ends.
    """

    def __init__(self) -> None:
        self._limiter: FixedWindowRateLimiter | None = None
        self._items: dict[int, RateLimitItemPerMinute] = {}
        self._silent_until = 0.0
        self._lock = threading.Lock()
        self._minute = 0
        self._untold: dict[str, int] = {}
        #: who → until when they are over the limit, and until when each of their calls is told
        self._over: dict[str, float] = {}
        self._near: dict[str, float] = {}

    def hit(self, who: str, most: int) -> int | None:
        """Seconds to wait, or None when the call may go on."""
        now = time.monotonic()
        with self._lock:
            if now // 60 != self._minute:
                self._minute = now // 60
                self._untold.clear()
                self._over = {name: until for name, until in self._over.items() if until > now}
                self._near = {name: until for name, until in self._near.items() if until > now}
            if (until := self._over.get(who, 0.0)) > now:
                return max(1, math.ceil(until - now))
            calls = self._untold.pop(who, 0) + 1
            if calls < max(1, most // STEPS) and self._near.get(who, 0.0) <= now:
                self._untold[who] = calls
                return None
        wait = self._tell(who, most, calls)
        if wait is not None:
            self._over[who] = now + wait
        return wait

    def _tell(self, who: str, most: int, calls: int) -> int | None:
        if time.monotonic() < self._silent_until:
            return None
        item = self._items.setdefault(most, RateLimitItemPerMinute(most))
        try:
            limiter = self._limiter or self._connect()
            allowed = limiter.hit(item, "api", who, cost=calls)
            reset_at, left = limiter.get_window_stats(item, "api", who)
            if allowed:
                if left <= most * NEAR:
                    self._near[who] = time.monotonic() + max(reset_at - time.time(), 0.0)
                return None
            return max(1, math.ceil(reset_at - time.time()))
        except (RedisError, OSError, config.ConfigError) as error:
            self._limiter = None
            self._silent_until = time.monotonic() + PAUSE
            desk_redis.forget()
            log.warning("reads are not counted: Redis is away", extra={"error_type": type(error).__name__})
            return None

    def _connect(self) -> FixedWindowRateLimiter:
        pool = desk_redis.client().connection_pool
        self._limiter = FixedWindowRateLimiter(RedisStorage("redis://", connection_pool=pool, key_prefix="limit"))
        return self._limiter
