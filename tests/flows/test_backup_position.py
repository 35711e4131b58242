"""Back to a position of the binary log: everything up to it and nothing after, on a server of this test's own (Z9)."""

from __future__ import annotations

import dataclasses
import getpass
import json
import shutil
import socket
import subprocess
import time
from decimal import Decimal
from pathlib import Path

import flask_migrate
import pymysql
import pytest
import sqlalchemy as sa

from app import create_app, vault
from app.db import db
from app.domain.ledger.models import Wallet
from app.flows import backup
from app.flows.backup import BackupBroken
from tests import databases
from tests.conftest import make_settings
from tests.factories import make_family
from tests.flows.test_backup import deposit

pytestmark = pytest.mark.skipif(
    "mysql" not in databases.engines() or not shutil.which("mariadb-install-db"), reason="no server to start"
)


@pytest.fixture
def server(tmp_path):
    """A MariaDB with a binary log; its port."""
    data, me = tmp_path / "data", getpass.getuser()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={me}",
               "--auth-root-authentication-method=normal", "--skip-test-db"]  # fmt: skip
    subprocess.run(install, check=True, capture_output=True)
    run = ["mariadbd", "--no-defaults", f"--user={me}", f"--datadir={data}", f"--socket={data}/s", f"--port={port}",
           "--bind-address=127.0.0.1", f"--log-bin={data}/log", "--server-id=1", "--skip-name-resolve",
           f"--pid-file={data}/pid", "--innodb-buffer-pool-size=32M"]  # fmt: skip
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                query(port, "CREATE DATABASE one CHARACTER SET utf8mb4", "CREATE DATABASE two CHARACTER SET utf8mb4")
                break
            except pymysql.MySQLError:
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.2)
        yield port, data
    finally:
        process.terminate()
        process.wait(60)


def query(port: int, *statements: str):
    with pymysql.connect(host="127.0.0.1", port=port, user="root") as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def application(port: int, name: str, instance: Path):
    return create_app(make_settings(f"mysql+pymysql://root@127.0.0.1:{port}/{name}?charset=utf8mb4", instance))


def test_to_a_position_and_not_a_commit_further(server, tmp_path):
    port, data = server
    one, two = application(port, "one", tmp_path / "one"), application(port, "two", tmp_path / "two")
    with one.app_context():
        flask_migrate.upgrade()
        family = make_family(balance="100.00")
        made, manifest = backup.create(tmp_path / "backups")
        assert manifest.position is not None
        for number in range(3):
            deposit(family, f"after{number}")
        log, position = query(port, "SHOW MASTER STATUS")[0][:2]
        deposit(family, "mistake")
        db.session.remove()
        db.engine.dispose()
    with two.app_context():
        with pytest.raises(BackupBroken, match="二进制日志"):
            # Without the log the dump alone is not the state that was asked for.
            backup.restore(_without_position(made), logs=[data / log], stop=position)
        done = backup.restore(made, logs=[data / log], stop=position)
        assert done.report.sound
        assert db.session.scalar(sa.select(Wallet.balance)) == Decimal("103.00")
        db.session.remove()
        db.engine.dispose()


def _without_position(made: Path) -> Path:
    """The same backup, as one of a server without a binary log would be."""
    copy = shutil.copytree(made, made.with_name("desk-without"))
    manifest = dataclasses.replace(backup.read_manifest(copy), position=None)
    said = json.dumps(dataclasses.asdict(manifest)).encode()
    outer = {"manifest": said.decode(), "mac": vault.mac(said, "backup-manifest")}
    (copy / backup.MANIFEST).write_text(json.dumps(outer))
    return copy
