"""The one HTTP client: a pooled session per process, bounded in time and size, silent about addresses.

Addresses carry tokens and secrets (WeChat's query, a Feishu hook's path), so nothing here logs or raises with
one: callers name each call by a `label` such as `wechat.sign_in`.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout
from urllib3.util.connection import create_connection

from app.gateways.errors import GatewayError, Permanent, RateLimited, Temporary, UnknownOutcome
from app.guards import refuse_in_transaction

log = logging.getLogger("desk.http")

# Seconds. A provider that hangs must not hold up a worker or a parent for longer than TOTAL (96.50).
CONNECT, READ, TOTAL = 3.0, 8.0, 10.0
MAX_BYTES = 4 * 1024 * 1024

_lock = threading.Lock()
_session: requests.Session | None = None
_pid = 0


def request(
    method: str, url: str, *, label: str, seconds: float = TOTAL, max_bytes: int = MAX_BYTES, **kwargs: Any
) -> requests.Response:
    """One exchange, done within `seconds` in all; the answer's body is read whole, up to `max_bytes`.

    Any status is returned; `check` judges it. Raises Temporary when the request was never sent, UnknownOutcome
    when it was and no whole answer came, RuntimeError inside a database transaction.
    """
    refuse_in_transaction(f"the call {label}")
    kwargs["timeout"] = Timeout(connect=min(CONNECT, seconds), read=min(READ, seconds), total=seconds)
    began = time.monotonic()
    failure: GatewayError | None = None
    try:
        response = _for_this_process().request(method, url, stream=True, allow_redirects=False, **kwargs)
        try:
            _read_whole(response, began + seconds, max_bytes)
        finally:
            response.close()
    except requests.RequestException as error:
        failure = _failure(label, error)
    except (TimeoutError, ReadTimeoutError):
        failure = UnknownOutcome(label, "timeout")
    except _TooLarge:
        failure = UnknownOutcome(label, "answer_too_large")
    except HTTPError:
        failure = UnknownOutcome(label, "connection_lost")
    milliseconds = round((time.monotonic() - began) * 1000)
    # Raised here and not in the handlers above: the library's error, which holds the address, would else be kept
    # as this one's context and be printed with it.
    if failure is not None:
        log.warning("call failed", extra={"call": label, "error_code": failure.code, "ms": milliseconds})
        raise failure
    log.debug("call done", extra={"call": label, "status": response.status_code, "ms": milliseconds})
    return response


def check(response: requests.Response, label: str) -> requests.Response:
    """Refuse what is not 2xx: 429 as RateLimited, 5xx as Temporary, the rest as Permanent."""
    status = response.status_code
    if 200 <= status < 300:
        return response
    if status == 429:
        raise RateLimited(label, "http_429", retry_after=_pause(response))
    raise (Temporary if status >= 500 else Permanent)(label, f"http_{status}")


def read_json(response: requests.Response, label: str) -> dict[str, Any]:
    """The answer as a JSON object. Raises UnknownOutcome when it is none: a proxy answered, not the provider."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise UnknownOutcome(label, "not_json")
    return body


class _TooLarge(Exception):
    pass


def _for_this_process() -> requests.Session:
    """The session; a forked worker gets one of its own, since two processes can't share a connection."""
    global _session, _pid
    if _session is None or _pid != os.getpid():
        with _lock:
            if _session is None or _pid != os.getpid():
                _session, _pid = _new_session(), os.getpid()
    return _session


def _new_session() -> requests.Session:
    # At DEBUG urllib3 prints each address with its query, which holds the mini program's secret.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    session = requests.Session()
    # Proxies, netrc and bundles come from our settings or not at all: requests would read them on each call.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "baishi-desk"
    for scheme in ("http://", "https://"):
        adapter = HTTPAdapter(pool_connections=8, pool_maxsize=32, max_retries=0)
        adapter.poolmanager.pool_classes_by_scheme = _POOLS
        session.mount(scheme, adapter)
    return session


# ── connecting ──────────────────────────────────────────────────────────────────────────────────────


class _Bounded:
    """Connects within its time in all. urllib3 gives that time to each address of a name again, and none to finding
    the addresses: where no name server answers, the system itself waits for half a minute and more."""

    def _new_conn(self) -> socket.socket:
        end = time.monotonic() + self.timeout
        failure: Exception = ConnectTimeoutError(self, "no time was left to connect")
        for address in _addresses(self._dns_host, self.port, self):
            left = end - time.monotonic()
            if left <= 0:
                break
            try:
                return create_connection((address, self.port), left, self.source_address, self.socket_options)
            except TimeoutError:
                failure = ConnectTimeoutError(self, "connecting timed out")
            except OSError as error:
                failure = NewConnectionError(self, f"cannot connect: {type(error).__name__}")
        raise failure


class _Connection(_Bounded, HTTPConnection):
    pass


class _TlsConnection(_Bounded, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


def _addresses(host: str, port: int, connection: HTTPConnection) -> list[str]:
    """The host's addresses, asked for aside: the system's question cannot be stopped, only left alone."""
    answer: queue.SimpleQueue = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
        except OSError as error:
            answer.put(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        found = answer.get(timeout=connection.timeout)
    except queue.Empty:
        raise ConnectTimeoutError(connection, "no name server answered") from None
    if isinstance(found, OSError):
        raise NewConnectionError(connection, f"no such host: {type(found).__name__}")
    return list(dict.fromkeys(one[4][0] for one in found))


def _read_whole(response: requests.Response, deadline: float, max_bytes: int) -> None:
    # requests bounds each read from the socket, not their sum: an answer that drips could last for ever. `read1`
    # gives what has come, where `iter_content` would wait for a whole chunk.
    chunks, size = [], 0
    while chunk := response.raw.read1(64 * 1024, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise _TooLarge
        if time.monotonic() > deadline:
            raise TimeoutError
    response._content = b"".join(chunks)


def _failure(label: str, error: requests.RequestException) -> GatewayError:
    reason = error.args[0] if error.args else None
    if isinstance(reason, MaxRetryError):
        reason = reason.reason
    if isinstance(reason, NewConnectionError | NameResolutionError | ProxyError):
        return Temporary(label, "cannot_connect")
    if isinstance(error, requests.ConnectTimeout) or isinstance(reason, ConnectTimeoutError):
        return Temporary(label, "connect_timeout")
    if isinstance(error, requests.exceptions.SSLError) or isinstance(reason, SSLError):
        return Temporary(label, "tls_failed")
    if isinstance(error, requests.Timeout):
        return UnknownOutcome(label, "timeout")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
        return Permanent(label, "bad_address")
    return UnknownOutcome(label, "connection_lost")


def _pause(response: requests.Response) -> int:
    text = response.headers.get("Retry-After", "")
    return min(int(text), 3600) if text.isascii() and text.isdigit() else 60
