"""The supervisor behind `make run`, with real processes."""

from __future__ import annotations

import functools
import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import dev, setup

ENV = dict(os.environ)


def child(code: str, name: str = "worker") -> dev.Process:
    return dev.Process(name, [sys.executable, "-c", code], ENV)


def wait_for(condition, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" if os.path.exists("/proc") else True
    )


@pytest.fixture
def shown(monkeypatch):
    """What was printed so far. Not capsys, which forgets what a thread writes while it is being read."""
    out = io.StringIO()
    monkeypatch.setattr(dev, "print", functools.partial(print, file=out), raising=False)
    return out.getvalue


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(taken, monkeypatch):
    monkeypatch.setenv("PORT", str(taken))
    with pytest.raises(SystemExit, match=f"端口 {taken} 已被占用.*PORT={taken + 1}"):
        dev.choose_port("PORT", 8000)


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "80.5"])
def test_a_port_that_is_none(text, monkeypatch):
    monkeypatch.setenv("PORT", text)
    with pytest.raises(SystemExit, match="不是端口号"):
        dev.choose_port("PORT", 8000)


def test_a_default_port_that_is_taken_gives_way_to_the_next(taken, monkeypatch, capsys):
    monkeypatch.delenv("PORT", raising=False)
    port = dev.choose_port("PORT", taken)
    assert taken < port < taken + 50
    assert f"改用 {port}" in capsys.readouterr().out


def test_the_processes_point_at_each_other_unless_somebody_said_otherwise(monkeypatch):
    monkeypatch.setenv("DESK_WECHAT_API_URL", "https://wechat.test")
    monkeypatch.delenv("DESK_PUBLIC_URL", raising=False)
    monkeypatch.setenv("PORT", "9000")
    env = dev.environment(9000, 9001)
    assert env["DESK_PUBLIC_URL"] == "http://127.0.0.1:9000"
    assert env["DESK_FEISHU_MONEY_URL"].startswith("http://127.0.0.1:9001/")
    assert env["DESK_WECHAT_API_URL"] == "https://wechat.test"
    assert "PORT" not in env


def test_only_one_on_a_folder(tmp_path):
    with dev.only_one(tmp_path) as lock:
        lock.write("进程 1，http://127.0.0.1:8000\n")
        lock.flush()
        with pytest.raises(SystemExit, match="已经在运行：进程 1"), dev.only_one(tmp_path):
            pass
    with dev.only_one(tmp_path):
        pass


def test_one_that_dies_is_started_again(shown):
    process = child("import time; print('hello', flush=True); time.sleep(60)")
    process.start()
    first = process.popen.pid
    assert wait_for(lambda: "hello" in shown())
    os.kill(first, signal.SIGKILL)
    assert wait_for(lambda: (process.look(), process.popen is not None and process.popen.pid != first)[1])
    assert process.running()
    dev.stop([process])
    assert "被信号 SIGKILL 结束" in shown()


def test_one_that_only_dies_is_left_alone(monkeypatch, shown):
    monkeypatch.setattr(dev, "RESTARTS", 1)
    process = child("raise SystemExit(3)")
    process.start()
    assert wait_for(lambda: (process.look(), "不再重启" in shown())[1])
    process.look()
    assert not process.running()


def test_stopping_ends_whole_families(shown):
    code = (
        "import subprocess, sys, time\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(grandchild.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = child(code)
    process.start()
    assert wait_for(lambda: any(word.isdigit() for word in shown().split()))
    grandchild = next(int(word) for word in shown().split() if word.isdigit())
    dev.stop([process])
    assert wait_for(lambda: not alive(grandchild))


def test_one_that_will_not_stop_is_killed(monkeypatch, shown):
    monkeypatch.setattr(dev, "PATIENCE", 0.5)
    process = child("import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)")
    process.start()
    assert wait_for(lambda: "deaf" in shown())
    dev.stop([process])
    assert not process.running()
    assert "强制结束" in shown()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help exists on Linux alone")
def test_killing_the_supervisor_ends_the_rest():
    code = (
        "import sys, time\n"
        "from scripts import dev\n"
        "p = dev.Process('worker', [sys.executable, '-c', 'import time; time.sleep(60)'], None)\n"
        "p.start()\n"
        "print(p.popen.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], cwd=dev.ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    assert wait_for(lambda: not alive(pid))


# ── setting up ──────────────────────────────────────────────────────────────────────────────────────


def test_a_stamp_changes_with_what_it_is_made_from(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("one")
    first = setup.digest(file, of="python")
    assert setup.digest(file, of="python") == first
    assert setup.digest(file, of="python3.12") != first
    file.write_text("two")
    assert setup.digest(file, of="python") != first


def test_an_old_python_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(setup, "OLDEST", (99, 0))
    monkeypatch.setattr(setup.shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit, match=r"Python 99\.0 or newer is needed"):
        setup.new_enough()


def test_what_fails_is_shown_and_what_works_is_not(capsys):
    assert setup.quietly([sys.executable, "-c", "print('fine')"])
    assert not setup.quietly([sys.executable, "-c", "print('the reason'); raise SystemExit(1)"])
    shown = capsys.readouterr()
    assert "the reason" in shown.err
    assert "fine" not in shown.out + shown.err
