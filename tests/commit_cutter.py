"""Faults on the wire for tests: a TCP proxy in front of MySQL that cuts a connection around its COMMIT."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

COMMIT = b"\x03COMMIT"


class CommitCutter:
    """Listens on a free local port and forwards to `host:port`. Arm it with `cut_next`:

    - "before": the next COMMIT never reaches the server, which then rolls back;
    - "after": the server commits, the client never reads the answer.
    """

    def __init__(self, host: str, port: int):
        self._upstream = (host, port)
        self._mode: str | None = None
        self._lock = threading.Lock()
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_next(self, mode: str) -> None:
        with self._lock:
            self._mode = mode

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
                link = _Link(client, server)
                threading.Thread(target=self._to_server, args=(link,), daemon=True).start()
                threading.Thread(target=link.to_client, daemon=True).start()

    def _to_server(self, link: _Link) -> None:
        with suppress(OSError):
            while chunk := link.client.recv(65536):
                mode = self._take() if chunk.endswith(COMMIT) else None
                if mode == "before":
                    break
                if mode == "after":
                    link.deaf.set()  # what the server answers from here on is swallowed
                    link.server.sendall(chunk)
                    link.answered.wait(5)
                    break
                link.server.sendall(chunk)
        link.close()

    def _take(self) -> str | None:
        with self._lock:
            mode, self._mode = self._mode, None
            self.cuts += mode is not None
            return mode


class _Link:
    """One client's connection and its twin to the server."""

    def __init__(self, client: socket.socket, server: socket.socket):
        self.client, self.server = client, server
        self.deaf, self.answered = threading.Event(), threading.Event()

    def to_client(self) -> None:
        with suppress(OSError):
            while chunk := self.server.recv(65536):
                if self.deaf.is_set():
                    self.answered.set()
                else:
                    self.client.sendall(chunk)
        self.close()

    def close(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
