"""A thread that kills a server every so many seconds and starts it again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.drills.servers import Server


class Killer:
    """`returns` are the moments (monotonic seconds) at which the server answered again."""

    def __init__(self, name: str, server: Server, every: float, again: Callable[[], object]):
        self.name, self.server, self.every, self.again = name, server, every, again
        self.kills, self.returns = 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """No more kills; the server is up when this returns. Raises RuntimeError where it did not come back."""
        self._stop.set()
        self._thread.join()
        if not self.server.answers():
            raise RuntimeError(f"{self.name} did not come back")

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            self.server.kill()
            self.kills += 1
            self.again()
            self.returns.append(time.monotonic())
