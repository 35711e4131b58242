"""The bounded HTTP client against sockets that misbehave."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time

import pytest

from app.gateways import http
from app.gateways.errors import Permanent, RateLimited, Temporary, UnknownOutcome


class Server:
    """Answers each connection by `script(connection)`."""

    def __init__(self, script):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/path?token=secret-token"
        self.script = script
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                with contextlib.suppress(OSError):
                    self.script(connection)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)  # ends the waiting accept
        self.socket.close()
        self.thread.join(5)


@pytest.fixture
def serve():
    servers = []

    def start(script):
        servers.append(Server(script))
        return servers[-1].url

    yield start
    for server in servers:
        server.close()


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n".encode() + body


def test_an_answer(serve):
    url = serve(lambda c: c.sendall(answer(b'{"a": 1}')))
    response = http.check(http.request("GET", url, label="test"), "test")
    assert http.read_json(response, "test") == {"a": 1}


def drip(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"x" * 10)
        time.sleep(0.05)


def chunked(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for part in (b'{"a"', b": ", b"1}"):
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
    connection.sendall(b"0\r\n\r\n")


def zipped(connection):
    connection.sendall(answer(gzip.compress(b'{"a": 1}'), headers="Content-Encoding: gzip\r\n"))


@pytest.mark.parametrize("script", [chunked, zipped])
def test_other_ways_to_send_a_body(serve, script):
    assert http.read_json(http.request("GET", serve(script), label="test"), "test") == {"a": 1}


def flood(connection):
    connection.sendall(answer(b"x" * 200_000))


def silence(connection):
    time.sleep(3)


@pytest.mark.parametrize(
    ("script", "options", "code"),
    [
        (lambda c: None, {}, "connection_lost"),
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), {}, "connection_lost"),
        (lambda c: c.sendall(b"not http at all\r\n\r\n"), {}, "connection_lost"),
        (silence, {"seconds": 0.3}, "timeout"),
        (drip, {"seconds": 0.5}, "timeout"),
        (flood, {"max_bytes": 100_000}, "answer_too_large"),
    ],
    ids=["closed", "cut", "garbage", "silent", "dripping", "flooding"],
)
def test_sent_and_no_whole_answer(serve, script, options, code):
    url = serve(script)
    began = time.monotonic()
    with pytest.raises(UnknownOutcome) as caught:
        http.request("POST", url, label="test.call", json={}, **options)
    assert caught.value.code == code
    assert time.monotonic() - began < 2.5
    assert caught.value.__context__ is None
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "error", "code"),
    [
        ("http://127.0.0.1:1/x?secret=1", Temporary, "cannot_connect"),
        ("http://no-such-host.invalid/x", Temporary, "cannot_connect"),
        ("not an address", Permanent, "bad_address"),
    ],
)
def test_never_sent(url, error, code):
    with pytest.raises(error) as caught:
        http.request("GET", url, label="test")
    assert caught.value.code == code


def asked_in_vain() -> float:
    """Ask a host that cannot be reached, half a second long; the seconds that it took."""
    began = time.monotonic()
    with pytest.raises(Temporary) as caught:
        http.request("GET", "http://far-away.invalid/x", label="test", seconds=0.5)
    assert caught.value.code == "connect_timeout"
    return time.monotonic() - began


def test_a_name_server_that_says_nothing_holds_up_nobody(monkeypatch):
    quiet = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: quiet.wait(30))
    try:
        assert asked_in_vain() < 5
    finally:
        quiet.set()


def test_all_addresses_of_a_name_share_its_time(monkeypatch):
    tried = []

    def nobody_there(address, seconds, *_rest):
        tried.append(address)
        time.sleep(min(seconds, 0.2))
        raise TimeoutError

    found = [(0, 0, 0, "", (f"192.0.2.{n}", 80)) for n in range(40)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    monkeypatch.setattr(http, "create_connection", nobody_there)
    assert asked_in_vain() < 5
    assert 1 < len(tried) < 10


def test_the_next_address_of_a_name_may_answer(serve, monkeypatch):
    port = int(serve(lambda connection: connection.sendall(answer(b"here"))).split(":")[2].split("/")[0])
    connect = http.create_connection
    dead = iter((True, False))

    def first_is_dead(address, *rest):
        if next(dead):
            raise ConnectionRefusedError
        return connect(address, *rest)

    monkeypatch.setattr(http, "_addresses", lambda *_args: ["192.0.2.1", "127.0.0.1"])
    monkeypatch.setattr(http, "create_connection", first_is_dead)
    assert http.request("GET", f"http://far-away.invalid:{port}/x", label="test").content == b"here"


def test_tls_that_is_none(serve):
    url = serve(lambda c: c.sendall(b"plain text\r\n")).replace("http://", "https://")
    with pytest.raises(Temporary, match="tls_failed"):
        http.request("GET", url, label="test")


@pytest.mark.parametrize(
    ("status", "headers", "error", "pause"),
    [
        ("429 Too Many Requests", "Retry-After: 7\r\n", RateLimited, 7),
        ("429 Too Many Requests", "Retry-After: soon\r\n", RateLimited, 60),
        ("503 Service Unavailable", "", Temporary, None),
        ("404 Not Found", "", Permanent, None),
        ("302 Found", "Location: http://127.0.0.1:1/\r\n", Permanent, None),
    ],
)
def test_statuses(serve, status, headers, error, pause):
    url = serve(lambda c: c.sendall(answer(b"", status, headers)))
    with pytest.raises(error) as caught:
        http.check(http.request("GET", url, label="test"), "test")
    assert caught.value.retry_after == pause


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"1", b"\xff"])
def test_what_is_no_json_object(serve, body):
    url = serve(lambda c: c.sendall(answer(body)))
    with pytest.raises(UnknownOutcome, match="not_json"):
        http.read_json(http.request("GET", url, label="test"), "test")


def test_cookies_are_not_kept(serve):
    url = serve(lambda c: c.sendall(answer(b"{}", headers="Set-Cookie: a=b; Path=/\r\n")))
    http.request("GET", url, label="test")
    assert len(http._for_this_process().cookies) == 0


def test_a_forked_process_has_its_own_session(monkeypatch):
    mine = http._for_this_process()
    assert http._for_this_process() is mine
    monkeypatch.setattr(http, "_pid", -1)
    assert http._for_this_process() is not mine
