"""Many people at once, each with a connection of their own that stays open, who act, wait for the answer, and think.

Parents do what the mini program does, staff what the portal's pages do. Four of five requests read. Think times are
even between two bounds, for all alike; nobody acts before the last answer was there.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from bench.killed_web import FIELDS, FormReader
from bench.parents import Parent

#: seconds between an answer and the next action
THINK = (5.0, 10.0)
#: seconds after which nobody waits any longer
PATIENCE = 30.0

READ, MONEY, QUEUE = "reads", "money", "queue"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    location: str
    text: str


@dataclass
class Heard:
    """What all of them heard. `times` by (kind, action), in milliseconds, of what was asked while it counted."""

    times: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    refusals: Counter = field(default_factory=Counter)
    errors: Counter = field(default_factory=Counter)
    reopened: int = 0
    counts: bool = False

    def of(self, kind: str, who: str = "") -> list[float]:
        """All times of a kind, of those whose action begins so."""
        return [ms for (is_kind, action), found in self.times.items() if is_kind == kind and action.startswith(who)
                for ms in found]  # fmt: skip

    @property
    def total(self) -> int:
        return sum(map(len, self.times.values()))


class Line:
    """One person's connection: opened when needed, kept open, opened again where the server had closed it. Keeps
    `cookies` as a browser does."""

    def __init__(self, url: str, headers: dict[str, str], heard: Heard, cookies: dict[str, str] | None = None):
        parts = urlsplit(url)
        self.host, self.port, self.heard, self.cookies = parts.hostname, parts.port, heard, dict(cookies or {})
        self.fixed = "".join(f"{name}: {value}\r\n" for name, value in ({"Host": parts.netloc} | headers).items())
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        if self.cookies:
            more += "Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()) + "\r\n"
        length = f"Content-Length: {len(body)}\r\n" if method != "GET" else ""
        sent = f"{method} {path} HTTP/1.1\r\n{self.fixed}{more}{length}\r\n".encode() + body
        kept = self.writer is not None
        try:
            return await asyncio.wait_for(self._exchange(sent), PATIENCE)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            if not kept:
                raise
            # Closed in the very moment in which it was used: phones and browsers ask once more.
            self.heard.reopened += 1
            return await asyncio.wait_for(self._exchange(sent), PATIENCE)

    async def _exchange(self, sent: bytes) -> Reply:
        if self.writer is not None and (self.reader.at_eof() or self.writer.is_closing()):
            # Closed while nobody spoke, as every server does with a connection that rests.
            self.close()
            self.heard.reopened += 1
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        self.writer.write(sent)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        named = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        if "set-cookie" in named:
            name, _, value = named["set-cookie"].partition(";")[0].partition("=")
            self.cookies[name] = value
        text = await self.reader.readexactly(int(named.get("content-length", 0)))
        if named.get("connection") == "close":
            self.close()
        return Reply(int(head[0].split(" ", 2)[1]), named.get("location", ""), text.decode())

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class Person:
    """Acts and thinks until the end."""

    #: (how often in a hundred, name of the action)
    habits: tuple[tuple[int, str], ...] = ()

    def __init__(self, line: Line, heard: Heard, dice: random.Random):
        self.line, self.heard, self.dice = line, heard, dice

    async def live(self, end: float) -> None:
        await asyncio.sleep(self.dice.uniform(0, THINK[1]))
        weights, names = zip(*self.habits, strict=True)
        while time.monotonic() < end:
            [action] = self.dice.choices(names, weights)
            try:
                await getattr(self, action)()
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
                self._failed(action, f"{type(error).__name__}")
                self.line.close()
            await asyncio.sleep(self.dice.uniform(*THINK))
        self.line.close()

    async def timed(self, kind: str, action: str, call: Callable[[], Awaitable[Reply]]) -> Reply:
        began = time.perf_counter()
        reply = await call()
        if self.heard.counts:
            taken = (time.perf_counter() - began) * 1000
            self.heard.times.setdefault((kind, action), []).append(taken)
        return reply

    def _failed(self, action: str, what: str) -> None:
        if self.heard.counts:
            self.heard.errors[f"{action}: {what}"] += 1


class ParentAtPhone(Person):
    """Looks at classes, the wallet and its list, the queue; books, cancels, waits for a full class."""

    habits = (
        (20, "classes"), (22, "balance"), (12, "transactions"), (12, "my_bookings"), (8, "my_waits"), (6, "one_class"),
        (12, "book_or_cancel"), (8, "join_or_leave"),
    )  # fmt: skip
    #: refusals that are answers: somebody else was quicker, or the child is busy at that time
    EXPECTED = frozenset({
        "SEAT_FULL", "WAITLIST_FULL", "TIME_CONFLICT", "ALREADY_BOOKED", "ALREADY_WAITING", "SEAT_AVAILABLE",
        "INVALID_STATE",
    })  # fmt: skip

    def __init__(self, line: Line, heard: Heard, dice: random.Random, parent: Parent, open_classes, full_classes):
        super().__init__(line, heard, dice)
        self.parent, self.open, self.full = parent, open_classes, full_classes
        self.bookings: list[int] = []
        self.waits: list[int] = []

    async def _get(self, action: str, path: str) -> None:
        reply = await self.timed(READ, f"parent {action}", lambda: self.line.ask("GET", f"/api/v1{path}"))
        if reply.status != 200:
            self._failed(action, f"{reply.status} {reply.text[:120]}")

    async def classes(self) -> None:
        await self._get("classes", f"/schedules?limit=20&profile_id={self.parent.profile_ids[0]}")

    async def one_class(self) -> None:
        await self._get("one class", f"/schedules/{self.dice.choice(self.open)}")

    async def balance(self) -> None:
        await self._get("balance", "/wallet/balance")

    async def transactions(self) -> None:
        await self._get("transactions", "/wallet/transactions?limit=20")

    async def my_bookings(self) -> None:
        await self._get("bookings", "/bookings/my?limit=20")

    async def my_waits(self) -> None:
        if not self.waits:
            return await self._get("queue", "/waitlist/my")
        await self._get("queue", f"/waitlist/position/{self.waits[-1]}")

    async def _write(self, kind: str, action: str, method: str, path: str, body: dict | None = None) -> dict | None:
        """The answer's data, or None for a refusal."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = json.dumps(body).encode() if body is not None else b""
        reply = await self.timed(
            kind, f"parent {action}", lambda: self.line.ask(method, f"/api/v1{path}", headers, content)
        )
        if reply.status < 300:
            return json.loads(reply.text)["data"]
        code = json.loads(reply.text).get("error", "?") if reply.text.startswith("{") else "?"
        if code in self.EXPECTED:
            self.heard.refusals[code] += self.heard.counts
        else:
            self._failed(action, f"{reply.status} {code}")
        return None

    async def book_or_cancel(self) -> None:
        if len(self.bookings) >= 3 or (self.bookings and self.dice.random() < 0.4):
            booking = self.bookings.pop(self.dice.randrange(len(self.bookings)))
            await self._write(MONEY, "cancels", "POST", f"/bookings/{booking}/cancel")
            return
        asked = {"course_schedule_id": self.dice.choice(self.open), "profile_id": self.parent.profile_ids[0]}
        done = await self._write(MONEY, "books", "POST", "/bookings", asked)
        if done is not None:
            self.bookings.append(done["booking"]["id"])

    async def join_or_leave(self) -> None:
        if self.waits and self.dice.random() < 0.7:
            await self._write(QUEUE, "leaves the queue", "DELETE", f"/waitlist/{self.waits.pop()}")
            return
        asked = {"course_schedule_id": self.dice.choice(self.full), "profile_id": self.parent.profile_ids[0]}
        done = await self._write(QUEUE, "joins", "POST", "/waitlist/join", asked)
        if done is not None:
            self.waits.append(done["waitlist_id"])


class StaffAtDesk(Person):
    """Searches while typing, opens families and classes, adjusts a wallet by the real form."""

    habits = ((25, "search"), (25, "family"), (12, "roll"), (9, "week"), (9, "home"), (20, "adjust"))
    HTMX = {"HX-Request": "true", "HX-Target": "search-results"}

    def __init__(self, line: Line, heard: Heard, dice: random.Random, families, names, classes):
        super().__init__(line, heard, dice)
        self.families, self.names, self.classes = families, names, classes

    async def _page(self, action: str, path: str, headers: dict[str, str] | None = None) -> str:
        reply = await self.timed(READ, f"staff {action}", lambda: self.line.ask("GET", path, headers))
        if reply.status != 200:
            self._failed(action, f"{reply.status}")
        return reply.text

    async def search(self) -> None:
        name = self.dice.choice(self.names)
        await self._page("search", f"/search?q={quote(name[: self.dice.randint(1, len(name))])}", self.HTMX)

    async def family(self) -> None:
        await self._page("family", f"/families/{self.dice.choice(self.families)}")

    async def roll(self) -> None:
        await self._page("class", f"/schedule/{self.dice.choice(self.classes)}")

    async def week(self) -> None:
        await self._page("week", "/schedule")

    async def home(self) -> None:
        await self._page("home", "/")

    async def adjust(self) -> None:
        path = f"/families/{self.dice.choice(self.families)}/adjust"
        reader = FormReader("adjust")
        reader.feed(await self._page("form", path))
        await asyncio.sleep(self.dice.uniform(*THINK))
        content = urlencode({**reader.fields, **{name: value for name, value in FIELDS.items() if value}}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{self.line.host}:"
                   f"{self.line.port}"}  # fmt: skip
        reply = await self.timed(MONEY, "staff adjusts", lambda: self.line.ask("POST", path, headers, content))
        if reply.status in (200, 409) and "seen_version" in reply.text:
            # A colleague was at the same wallet: the form comes back with what it holds now.
            self.heard.refusals["balance moved"] += self.heard.counts
        elif reply.status != 303:
            self._failed("adjust", f"{reply.status}")
        else:
            # The answer names the page that the browser opens at once.
            await self._page("after adjusting", urlsplit(reply.location).path)


async def crowd(people: list[Person], heard: Heard, *, warm: float, seconds: float) -> None:
    """Let them all live; what they hear in the first `warm` seconds does not count."""
    began = time.monotonic()
    lives = [asyncio.create_task(one.live(began + warm + seconds)) for one in people]
    await asyncio.sleep(warm)
    heard.counts = True
    await asyncio.sleep(seconds)
    heard.counts = False
    for life in lives:
        life.cancel()
    await asyncio.gather(*lives, return_exceptions=True)
