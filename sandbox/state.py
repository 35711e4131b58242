"""Everything that the sandbox remembers: in memory, behind one lock, forgotten at exit.

Handlers run in threads. Each public method takes the lock for its own few lines and never does I/O inside, so
a slow or broken system (see `faults`) cannot hold up another one.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .faults import Faults
from .parents import DEMO_PARENTS, OPENID, Parent
from .pay_state import PayState
from .templates_catalog import TYPE_BY_ID

CODE_SECONDS = 300
TOKEN_SECONDS = 7200
TOKEN_OVERLAP = 300  # seconds before the end in which a new token is handed out while the old one still works
REFRESH_GAP = 30
REFRESHES_PER_DAY = 20
LOGINS_PER_MINUTE = 100
KEPT = 2000  # messages and cards per list: enough for any demo, bounded for one that runs for weeks
CALLS_KEPT = 200


class Refused(Exception):
    """A WeChat errcode with its errmsg."""

    def __init__(self, errcode: int, errmsg: str):
        self.errcode, self.errmsg = errcode, errmsg
        super().__init__(f"{errcode} {errmsg}")


class SandboxState:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.appid = "wxsandbox0000000001"
        self.secret = "sandbox-secret"  # noqa: S105 - the stand-in's, known to everyone
        self.faults = Faults(self.lock)
        self.pay = PayState(self.lock)
        self.revision = 0
        self._shift = 0.0
        self._clear()

    def _clear(self) -> None:
        self.parents: dict[str, Parent] = {p.openid: p for p in DEMO_PARENTS}
        self.codes: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, float] = {}  # token → the second it ends
        self.current_token = ""
        self.refreshes: deque[float] = deque()
        self.logins: dict[str, deque[float]] = defaultdict(deque)
        self.consents: dict[tuple[str, str], int] = defaultdict(int)
        self.messages: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.cards: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.hook_calls: dict[str, deque[float]] = defaultdict(deque)
        self.call_counts: dict[str, int] = defaultdict(int)
        self.last_calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
        # A browser remembers which messages it has shown; after a reset the same number must not come again.
        self.run, self._serial = secrets.token_hex(3), 0

    def reset(self) -> None:
        """Forget everything, faults and the moved clock too. The revision goes on, so that pages notice."""
        with self.changing():
            self._shift = 0.0
            self._clear()
            self.pay.clear()
            self.faults.clear()

    # -- time and change --------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since 1970, moved by `advance`: tests need not wait five minutes for a code to lapse."""
        return time.time() + self._shift

    def advance(self, seconds: float) -> None:
        with self.lock:
            self._shift += seconds

    @contextmanager
    def changing(self) -> Iterator[None]:
        """The lock, and a new revision at the end: whoever polls sees that something is different."""
        with self.lock:
            yield
            self.revision += 1

    def next_id(self, prefix: str) -> str:
        with self.lock:
            self._serial += 1
            return f"{prefix}{self.run}-{self._serial:06d}"

    # -- people and codes -------------------------------------------------------------------------------

    def parent(self, openid: str) -> Parent:
        """The parent with this openid; one that nobody has seen yet becomes a user of the mini program."""
        with self.lock:
            known = self.parents.get(openid)
            if known is None:
                if not OPENID.fullmatch(openid):
                    raise ValueError("openid：6–64 个字母、数字、下划线或连字符")
                known = self.parents[openid] = Parent(openid, f"新家长{openid[-4:]}", "")
                self.revision += 1
            return known

    def new_parent(self, name: str = "") -> Parent:
        openid = f"demo-new-{secrets.token_hex(6)}"
        with self.changing():
            made = Parent(openid, name or f"新家长{openid[-4:]}", "")
            self.parents[openid] = made
        return made

    def new_code(self, kind: str, openid: str, **more: Any) -> str:
        """A code as `wx.login` (kind `login`) or the phone number button (kind `phone`) gives one."""
        self.parent(openid)
        code = secrets.token_urlsafe(24)
        with self.lock:
            now = self.now()
            self.codes = {c: v for c, v in self.codes.items() if v["until"] > now - CODE_SECONDS}
            self.codes[code] = {"kind": kind, "openid": openid, "until": now + CODE_SECONDS, "used": False, **more}
        return code

    def spend_code(self, kind: str, code: str) -> dict[str, Any]:
        with self.lock:
            known = self.codes.get(code)
            if known is None or known["kind"] != kind or known["until"] <= self.now():
                raise Refused(40029, "invalid code")
            if known["used"]:
                # The phone number call has no code of its own for a second use.
                raise Refused(40163, "code been used") if kind == "login" else Refused(40029, "invalid code")
            known["used"] = True
            return known

    def count_login(self, openid: str) -> None:
        with self.lock:
            if not allow(self.logins[openid], self.now(), LOGINS_PER_MINUTE, 60):
                raise Refused(45011, "api minute-quota reach limit  mustslower  retry next minute")

    # -- access tokens ----------------------------------------------------------------------------------

    def stable_token(self, force: bool) -> tuple[str, int]:
        """(token, seconds left). Forced refreshes that come too soon change nothing, as at WeChat."""
        with self.lock:
            now = self.now()
            ends = self.tokens.get(self.current_token, 0.0)
            live = ends > now
            if force:
                too_soon = bool(self.refreshes) and now - self.refreshes[-1] < REFRESH_GAP
                if not (too_soon and live):
                    if not allow(self.refreshes, now, REFRESHES_PER_DAY, 86400):
                        raise Refused(45009, "reach max api daily quota limit")
                    # Forced means that the old ones are believed stolen: they die at once.
                    self.tokens.clear()
                    ends = 0.0
            if ends - now <= (0 if force else TOKEN_OVERLAP):
                self.current_token = f"99_{secrets.token_urlsafe(96)}"
                ends = self.tokens[self.current_token] = now + TOKEN_SECONDS
                self.tokens = {t: e for t, e in self.tokens.items() if e > now - TOKEN_SECONDS}
            return self.current_token, max(1, int(ends - now))

    def check_token(self, token: str) -> None:
        with self.lock:
            if not token:
                raise Refused(41001, "access_token missing")
            ends = self.tokens.get(token)
            if ends is None:
                raise Refused(
                    40001, "invalid credential, access_token is invalid or not latest, could get access_token "
                    "by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
                )  # fmt: skip
            if ends <= self.now():
                raise Refused(42001, "access_token expired")

    def expire_tokens(self) -> None:
        """All tokens are worthless from now on, as after a refresh by another system of the same account."""
        with self.lock:
            self.tokens.clear()
            self.current_token = ""

    # -- consent and messages ---------------------------------------------------------------------------

    def grant(self, openid: str, template_id: str, change: int = 1) -> int:
        """One tap on 允许 is one message. Returns what is left."""
        with self.changing():
            key = (openid, template_id)
            self.consents[key] = max(0, self.consents[key] + change)
            return self.consents[key]

    def set_consent(self, openid: str, template_id: str, count: int) -> None:
        self.parent(openid)
        with self.changing():
            self.consents[openid, template_id] = count

    def consents_of(self, openid: str) -> dict[str, int]:
        with self.lock:
            return {template: self.consents.get((openid, template), 0) for template in TYPE_BY_ID}

    def deliver(self, message: dict[str, Any]) -> int:
        """Spend one consent and put the message on the parent's phone, in one step; 43101 if none is left.

        Returns WeChat's number of the message.
        """
        with self.changing():
            key = (message["openid"], message["template_id"])
            if self.consents[key] <= 0:
                raise Refused(43101, "user refuse to accept the msg")
            self.consents[key] -= 1
            message_id = self.next_id("msg-")
            msgid = time.time_ns() + self._serial
            self.messages.append({"id": message_id, "msgid": msgid, **message, "at": self.now()})
            return msgid

    def messages_of(self, openid: str | None = None) -> list[dict[str, Any]]:
        with self.lock:
            return [m for m in self.messages if openid is None or m["openid"] == openid]

    # -- groups -----------------------------------------------------------------------------------------

    def hook_allowed(self, group: str) -> bool:
        """Feishu's limits: five in a second and a hundred in a minute per bot."""
        with self.lock:
            calls, now = self.hook_calls[group], self.now()
            if sum(1 for t in calls if t > now - 1) >= 5:
                return False
            return allow(calls, now, 100, 60)

    def post_card(self, card: dict[str, Any]) -> None:
        with self.changing():
            self.cards.append({"id": self.next_id("card-"), **card, "at": self.now()})

    def cards_of(self, group: str | None = None) -> list[dict[str, Any]]:
        with self.lock:
            return [c for c in self.cards if group is None or c["group"] == group]

    # -- calls ------------------------------------------------------------------------------------------

    def record_call(self, call: dict[str, Any], run: str) -> None:
        """Note a call that began in this `run`; one that a slow answer carried over a reset is forgotten with it."""
        with self.lock:
            if run != self.run:
                return
            self.call_counts[f"{call['method']} {call['path']}"] += 1
            self.last_calls.append({**call, "at": self.now()})

    def calls(self, path: str | None = None) -> list[dict[str, Any]]:
        with self.lock:
            return [c for c in self.last_calls if path is None or c["path"] == path]


def allow(times: deque[float], now: float, most: int, seconds: float) -> bool:
    """Count one call in a sliding window; False, and not counted, when the window is full."""
    while times and times[0] <= now - seconds:
        times.popleft()
    if len(times) >= most:
        return False
    times.append(now)
    return True


def session_key(openid: str) -> str:
    """A session key has 16 bytes. It is made from the openid, so that a test may know it beforehand."""
    return base64.b64encode(openid.encode().ljust(16, b"0")[:16]).decode()
