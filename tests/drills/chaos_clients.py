"""The clients of the chaos drill: parents who insist on an answer, and everything that they hear."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.parents import Parent


@dataclass
class Heard:
    """What all clients heard. `acknowledged` are (class, child) → the booking's id that the answer named."""

    acknowledged: dict[tuple[int, int], int] = field(default_factory=dict)
    #: (class, child) → status and body of an answer that was neither a booking nor "come again"
    refused: dict[tuple[int, int], str] = field(default_factory=dict)
    answers: Counter = field(default_factory=Counter)
    tries: int = 0
    #: requests that needed more than one try
    again: int = 0
    #: when the try was sent that was answered, for those that needed several (UTC)
    last_sent: dict[tuple[int, int], datetime] = field(default_factory=dict)
    moments: list[float] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, pair: tuple[int, int], status: int, body: str, tries: int, sent: datetime) -> None:
        with self.lock:
            self.tries += tries
            if tries > 1:
                self.again += 1
                self.last_sent[pair] = sent
            self.moments.append(time.monotonic())
            if status == 201:
                self.acknowledged[pair] = json.loads(body)["data"]["booking"]["id"]
            else:
                self.refused[pair] = f"{status} {body[:200]}"

    def returns(self, moments: list[float]) -> list[float]:
        """Seconds from each of these moments to the first answer after it."""
        heard = sorted(self.moments)
        found = [(moment, bisect_left(heard, moment)) for moment in moments]
        return [heard[at] - moment for moment, at in found if at < len(heard)]


def book_all(
    port: int, parents: list[Parent], classes: list[int], each: int, heard: Heard, *, control: bool,
    enough: threading.Event | None = None,
) -> None:  # fmt: skip
    """Every parent books `each` times, all at once; returns when everybody has been answered for everything. Once
    there is `enough`, nobody begins another one."""
    # Daemons: a drill that is told to end must not wait for clients who insist.
    clients = [threading.Thread(target=_client, args=(port, parent, classes, each, heard, control, enough), daemon=True)
               for parent in parents]  # fmt: skip
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    heard.done.set()


def _client(
    port: int, parent: Parent, classes: list[int], each: int, heard: Heard, control: bool,
    enough: threading.Event | None,
) -> None:  # fmt: skip
    pairs = [(schedule_id, profile_id) for schedule_id in classes for profile_id in parent.profile_ids][:each]
    random.shuffle(pairs)
    phone = _Phone(port, parent.token, heard)
    for pair in pairs:
        if enough is not None and enough.is_set():
            return
        heard.note(pair, *phone.insist(pair, control))


class _Phone:
    """One connection, opened again whenever it breaks."""

    def __init__(self, port: int, token: str, heard: Heard):
        self.port, self.heard = port, heard
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.connection: http.client.HTTPConnection | None = None

    def insist(self, pair: tuple[int, int], control: bool) -> tuple[int, str, int, datetime]:
        """(status, body, tries, when the last of them was sent) of the first answer that is one."""
        key, tries = uuid.uuid4().hex, 0
        while True:
            tries, sent = tries + 1, datetime.now(UTC)
            try:
                status, body = self._send(pair, uuid.uuid4().hex if control else key)
                self._count(str(status))
                if status < 500:
                    return status, body, tries, sent
            except (OSError, http.client.HTTPException) as error:
                self._hang_up()
                self._count(type(error).__name__)
            time.sleep(random.uniform(0.02, 0.2))

    def _send(self, pair: tuple[int, int], key: str) -> tuple[int, str]:
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = json.dumps({"course_schedule_id": pair[0], "profile_id": pair[1]})
        self.connection.request("POST", "/api/v1/bookings", body, self.headers | {"Idempotency-Key": key})
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()

    def _hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def _count(self, what: str) -> None:
        with self.heard.lock:
            self.heard.answers[what] += 1
