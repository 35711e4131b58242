"""`make run`: portal, worker, scheduler and sandbox in one terminal, on embedded defaults.

Each process runs in a group of its own, so that Ctrl-C reaches this one alone, which then ends the others in order.
One that dies is started again, and its last lines are there to read.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app import config, redis  # noqa: E402 - needs the path above

#: seconds in which a process that was told to stop has to
PATIENCE = 12.0
#: dying more often than this within a minute means that starting it again does not help
RESTARTS = 5
COLOURS = {"portal": "36", "worker": "33", "scheduler": "35", "sandbox": "32", "desk": "1"}
_print_lock = threading.Lock()


def say(name: str, line: str) -> None:
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    label = f"{name:<9} │"
    if coloured:
        label = f"\033[{COLOURS[name]}m{label}\033[0m"
    with _print_lock, contextlib.suppress(BrokenPipeError):
        print(label, line, flush=True)


@dataclass
class Process:
    """One child, its command, and how often it died lately."""

    name: str
    command: list[str]
    env: dict[str, str]
    popen: subprocess.Popen | None = None
    deaths: list[float] = field(default_factory=list)
    due: float = 0.0

    def start(self) -> None:
        self.due = 0.0
        self.popen = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        threading.Thread(target=self._relay, args=(self.popen,), daemon=True).start()

    def _relay(self, popen: subprocess.Popen) -> None:
        with popen.stdout as lines:
            for line in lines:
                say(self.name, line.rstrip("\n"))

    def look(self) -> None:
        """Start it again when it died; wait longer each time, and give up when it only keeps dying."""
        now = time.monotonic()
        if self.popen is not None and self.popen.poll() is not None:
            self.deaths = [*(at for at in self.deaths if at > now - 60), now]
            again = min(2.0 ** (len(self.deaths) - 1), 30.0)
            how = describe(self.popen.returncode)
            self.popen = None
            if len(self.deaths) > RESTARTS:
                say(
                    self.name,
                    f"✗ {how}，一分钟内第 {len(self.deaths)} 次。不再重启：请看上面的原因，Ctrl-C 后重新 make run",
                )
                return
            say(self.name, f"✗ {how}，{again:.0f} 秒后重新启动")
            self.due = now + again
        if self.popen is None and self.due and now >= self.due:
            self.start()

    def signal(self, number: int) -> None:
        if self.popen is not None and self.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)

    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None


def die_with_parent() -> None:
    # On Linux the kernel ends the children even when this process is killed outright.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def describe(code: int) -> str:
    return f"被信号 {signal.Signals(-code).name} 结束" if code < 0 else f"已退出（代码 {code}）"


# ── before anything starts ──────────────────────────────────────────────────────────────────────────


def choose_port(variable: str, default: int) -> int:
    """The port that was asked for, or the default, or, when that is taken, the next free one."""
    asked = os.environ.get(variable, "")
    if asked:
        if not asked.isdigit() or not 1 <= int(asked) <= 65535:
            sys.exit(f"✗ {variable}={asked} 不是端口号（1–65535）")
        if not is_free(int(asked)):
            sys.exit(f"✗ 端口 {asked} 已被占用：换一个，例如 make run {variable}={int(asked) + 1}")
        return int(asked)
    for port in range(default, default + 50):
        if is_free(port):
            if port != default:
                say("desk", f"端口 {default} 已被占用，改用 {port}（也可以指定：make run {variable}=…）")
            return port
    sys.exit(f"✗ 端口 {default}–{default + 49} 都被占用：请指定 make run {variable}=…")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As gunicorn binds: a port in TIME_WAIT is free, a listening one is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def only_one(instance: Path):
    """Two of these on one folder would fight over its database and Redis."""
    instance.mkdir(parents=True, exist_ok=True)
    with (instance / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            sys.exit(f"✗ 这个文件夹里已经在运行：{lock.read().strip()}。先在那个终端按 Ctrl-C。")
        yield lock


def environment(port: int, sandbox_port: int) -> dict[str, str]:
    """What the processes get: what somebody set stands, the rest points at each other."""
    set_already = {**config.read_dotenv(), **os.environ}
    sandbox = f"http://127.0.0.1:{sandbox_port}"
    ours = {
        "DESK_DEMO": "1",
        "DESK_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DESK_WECHAT_API_URL": sandbox,
        "DESK_WXPAY_API_URL": sandbox,
        **{f"DESK_FEISHU_{g.upper()}_URL": f"{sandbox}/open-apis/bot/v2/hook/{g}" for g in config.FEISHU_GROUPS},
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
    env = dict(os.environ)
    env.pop("PORT", None)  # gunicorn would take it for an order to listen on every address
    return env | {name: value for name, value in ours.items() if not set_already.get(name)}


def processes(settings: config.Settings, env: dict[str, str], port: int, sandbox_port: int) -> list[Process]:
    python = [sys.executable, "-m"]
    app_url = f"http://127.0.0.1:{port}"
    sandbox = ["--port", str(sandbox_port), "--app-url", app_url]
    keys = settings.instance_dir / "sandbox-pay"
    if keys.is_dir():  # not there where somebody gave an account of their own
        sandbox += ["--pay-keys", str(keys)]
    return [
        # Imported once for all its processes: the page is there sooner.
        Process("portal", [*python, "gunicorn", "wsgi:app", "--preload", "--bind", f"127.0.0.1:{port}"], env),
        Process("sandbox", [*python, "sandbox", *sandbox], env),
        Process("worker", [*python, "flask", "worker"], env),
        Process("scheduler", [*python, "flask", "scheduler"], env),
    ]


# ── running ─────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    os.chdir(ROOT)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    port, sandbox_port = choose_port("PORT", 8000), choose_port("SANDBOX_PORT", 8900)
    env = environment(port, sandbox_port)
    try:
        settings = config.load({**config.read_dotenv(), **env})
    except config.ConfigError as error:
        sys.exit(f"✗ {error}")
    with only_one(settings.instance_dir) as lock:
        lock.truncate(0)
        lock.write(f"进程 {os.getpid()}，http://127.0.0.1:{port}\n")
        lock.flush()
        try:
            run(settings, env, port, sandbox_port, stopping)
        finally:
            redis.stop_embedded(settings)


def run(
    settings: config.Settings, env: dict[str, str], port: int, sandbox_port: int, stopping: threading.Event
) -> None:
    began = time.monotonic()
    try:
        redis.url(settings)  # here, so that it outlives every process that uses it
    except redis.RedisUnavailable as error:
        say("desk", f"✗ {error}")
    prepared = subprocess.run(
        [sys.executable, "-m", "flask", "demo", "prepare"], cwd=ROOT, env=env, capture_output=True, text=True
    )
    if prepared.returncode:
        print(prepared.stdout, prepared.stderr, sep="\n", file=sys.stderr)
        sys.exit("✗ 数据库或演示数据没有准备好，原因见上")
    started = processes(settings, env, port, sandbox_port)
    try:
        for process in started:
            if not stopping.is_set():
                process.start()
        if wait_until_up(port, started, stopping):
            banner(prepared.stdout, port, sandbox_port, time.monotonic() - began)
        while not stopping.wait(0.3):
            for process in started:
                process.look()
    finally:
        stop(started)


def wait_until_up(port: int, started: list[Process], stopping: threading.Event) -> bool:
    address = f"http://127.0.0.1:{port}/healthz"
    for _ in range(300):
        if stopping.wait(0.1):
            return False
        for process in started:
            process.look()
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2) as answer:
            if answer.status == 200:
                return True
    say("desk", f"✗ 门户 30 秒内没有启动，请看上面 portal 的输出（{address}）")
    return False


def banner(sign_ins: str, port: int, sandbox_port: int, took: float) -> None:
    lines = [
        "",
        f"百适运营台已启动（{took:.1f} 秒）",
        "",
        f"  运营台        http://127.0.0.1:{port}/",
        f"  家长的手机    http://127.0.0.1:{sandbox_port}/phone",
        f"  飞书群        http://127.0.0.1:{sandbox_port}/groups",
        "",
        *sign_ins.rstrip().splitlines(),
        "",
        "  Ctrl-C 结束全部。",
        "",
    ]
    for line in lines:
        say("desk", line)


def stop(started: list[Process]) -> None:
    """Those that others rely on end last; whoever does not end in time is killed with its whole group."""
    say("desk", "正在结束…")
    deadline = time.monotonic() + PATIENCE
    for process in reversed(started):
        process.signal(signal.SIGTERM)
    while any(process.running() for process in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in started:
        if process.running():
            say(process.name, f"✗ {PATIENCE:.0f} 秒内没有结束，强制结束")
        process.signal(signal.SIGKILL)
        if process.popen is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.popen.pid, signal.SIGKILL)  # children of a leader that is gone already
            process.popen.wait()
    say("desk", "已结束。")


if __name__ == "__main__":
    main()
