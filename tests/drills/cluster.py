"""Three Galera nodes of a drill's own on the loopback, with the proxy and the recovery that `deploy/galera` has."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pymysql

from tests.drills.report import say
from tests.drills.servers import MariaDB, Server, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy" / "galera"
PROVIDER = "/usr/lib/galera/libgalera_smm.so"


class Node(MariaDB):
    """One node; `peers` are the cluster's own addresses of all of them."""

    #: as root, rsync would receive a joining node's data as `nobody`, who may write nowhere
    user = "mysql" if os.getuid() == 0 else MariaDB.user

    def __init__(self, folder: Path, port: int, own: int, peers: list[int]):
        spare, transfer = free_port(), free_port()
        provider = f"gmcast.listen_addr=tcp://127.0.0.1:{own};ist.recv_addr=127.0.0.1:{spare};gcache.size=128M"
        super().__init__(
            folder, port, "--wsrep-on=ON", f"--wsrep-provider={PROVIDER}", "--wsrep-cluster-name=drill",
            "--wsrep-cluster-address=gcomm://" + ",".join(f"127.0.0.1:{peer}" for peer in peers),
            f"--wsrep-node-address=127.0.0.1:{own}", f"--wsrep-node-name={folder.name}", "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{transfer}", f"--wsrep-provider-options={provider}",
            "--innodb-autoinc-lock-mode=2", binary_log=False,
        )  # fmt: skip

    @property
    def pid(self) -> int | None:
        """Of the server that runs on this folder, whoever started it."""
        with suppress(OSError, ValueError):
            pid = int((self.data / "pid").read_text())
            if str(self.data) in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        return None

    def kill(self) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGKILL)
        super().kill()
        while self.pid is not None:
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.kill()
        super().stop()

    def state(self, name: str) -> str:
        rows = self.query(f"SHOW GLOBAL STATUS LIKE 'wsrep_{name}'")
        return rows[0][1] if rows else ""

    def answers(self) -> bool:
        """Ready and synced, not only listening."""
        try:
            return self.state("ready") == "ON" and self.state("local_state") == "4"
        except pymysql.MySQLError:
            return False

    def isolate(self, cut: bool) -> None:
        """Cut it off from the others, or let it back; its clients stay connected."""
        self.query(f"SET GLOBAL wsrep_provider_options='gmcast.isolate={int(cut)}'")


class Cluster:
    """Three nodes, the last of which joined last."""

    def __init__(self, folder: Path, first_port: int):
        self.folder, own = folder, [free_port() for _ in range(3)]
        folder.chmod(0o755)
        self.nodes = [Node(folder / f"n{i + 1}", first_port + i, own[i], own) for i in range(3)]

    def start(self) -> None:
        self.nodes[0].start("--wsrep-new-cluster")
        for node in self.nodes[1:]:
            say(f"  {node.folder.name} joined after {node.start(seconds=240):.1f} s")

    def others(self, node: Node) -> list[Node]:
        return [other for other in self.nodes if other is not node]

    def whole(self, seconds: float = 120) -> None:
        """Wait until all three are in and synced. Raises RuntimeError."""
        until = time.monotonic() + seconds
        while not all(node.answers() and node.state("cluster_size") == "3" for node in self.nodes):
            if time.monotonic() > until:
                raise RuntimeError("the cluster did not come together")
            time.sleep(0.2)

    def recover(self) -> str:
        """The one command, as an administrator would run it; what it said. Raises CalledProcessError."""
        run = self.folder / "run.sh"
        run.write_text(f'#!/bin/sh\ncd {self.folder}/"$1" && exec sh -c "$2"\n')
        run.chmod(0o755)
        for node in self.nodes:
            _write_commands(node)
        environ = os.environ | {
            "RUN": str(run), "RUNNING": "sh running.sh", "POSITION": "sh position.sh", "BOOTSTRAP": "sh bootstrap.sh",
            "JOIN": "sh join.sh",
        }  # fmt: skip
        command = ["sh", str(DEPLOY / "recover.sh"), *(node.folder.name for node in self.nodes)]
        return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout

    def stop(self) -> None:
        for node in reversed(self.nodes):
            node.stop()


def _write_commands(node: Node) -> None:
    """What systemd and Debian's scripts do on a machine that has one node."""
    server = " ".join(f"'{word}'" for word in node.command())
    begin = f"setsid nohup {server} MORE >> process.log 2>&1 &\n"
    wait = (
        f'until [ "$(mariadb --no-defaults -h127.0.0.1 -P{node.port} -uroot -NBe'
        " \"SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME='wsrep_local_state'\""
        ' 2>/dev/null)" = 4 ]; do sleep 0.1; done\n'
    )
    log = node.data / "position.log"
    log.unlink(missing_ok=True)
    safe = f"sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' {node.data}/grastate.dat\n"
    scripts = {
        "running": f"kill -0 $(cat {node.data}/pid) 2>/dev/null\n",
        "position": f"{server} --wsrep-recover --log-error={log}; grep 'Recovered position' {log}\n",
        "bootstrap": safe + begin.replace("MORE", "--wsrep-new-cluster") + wait,
        "join": begin.replace("MORE", "") + wait,
    }
    for name, text in scripts.items():
        (node.folder / f"{name}.sh").write_text(text)


class Proxy(Server):
    """HAProxy with the configuration of `deploy/galera`, and a check beside each node."""

    def __init__(self, folder: Path, port: int, cluster: Cluster):
        super().__init__(folder, port)
        self.environ = {"PROXY": f"127.0.0.1:{port}"}
        self.checks = []
        for number, node in enumerate(cluster.nodes, start=1):
            check = free_port()
            self.environ |= {f"DB{number}": f"127.0.0.1:{node.port}", f"CHECK{number}": str(check)}
            self.checks.append([
                sys.executable, str(DEPLOY / "node_check.py"), "--port", str(check), "--", "--no-defaults",
                "-h127.0.0.1", f"-P{node.port}", "-uroot",
            ])  # fmt: skip

    def command(self) -> list[str]:
        given = [f"{name}={value}" for name, value in self.environ.items()]
        return ["env", *given, "haproxy", "-db", "-f", str(DEPLOY / "haproxy.cfg")]

    def launch(self, *more: str) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        self.beside = [subprocess.Popen(check, **quiet) for check in self.checks]
        # A proxy that looks before anybody answers takes every node for dead.
        for number in range(1, len(self.checks) + 1):
            _until_something_listens(int(self.environ[f"CHECK{number}"]))
        super().launch(*more)

    def answers(self) -> bool:
        try:
            pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=2).close()
        except pymysql.MySQLError:
            return False
        return True

    def stop(self) -> None:
        super().stop()
        for check in getattr(self, "beside", ()):
            check.kill()
            check.wait()


def _until_something_listens(port: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nobody listens at {port}")
