"""Dumping and loading a whole database by its own tools: mysqldump and mysql, or SQLite's backup (Z9).

Passwords go through a file that only we can read, never through the command line, which every user of the machine sees.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.guards import refuse_in_transaction

PIECE = 1 << 20
#: MariaDB, MySQL before and after 8.0.26
_POSITION = re.compile(rb"(?:MASTER|SOURCE)_LOG_FILE='([^']+)', (?:MASTER|SOURCE)_LOG_POS=([0-9]+)")
_DEFINER = re.compile(rb"/\*!50017 DEFINER=`[^`]*`@`[^`]*`\*/ ")
#: lines of a dump's head among which the position stands
_HEAD = 60


class DumpError(Exception):
    """The tool is missing or failed; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Server:
    """A schema on MySQL or MariaDB."""

    host: str
    port: int
    user: str
    password: str
    database: str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the server's binary log."""

    file: str
    offset: int


class Dump:
    """A consistent dump in pieces; `position` is known once they have been read, None without a binary log."""

    def __init__(self, server: Server, *, binary_log: bool):
        self.server = server
        self.binary_log = binary_log
        self.position: Position | None = None

    def __iter__(self) -> Iterator[bytes]:
        refuse_in_transaction("dumping the database")
        tool = _tool("mariadb-dump", "mysqldump")
        options = ["--single-transaction", "--triggers", "--hex-blob", "--no-tablespaces", "--skip-lock-tables",
                   "--default-character-set=utf8mb4"]  # fmt: skip
        if self.binary_log:
            options.append("--master-data=2" if _is_mariadb(tool) else "--source-data=2")
        with _login(self.server) as login:
            yield from self._lines([tool, login, *options, self.server.database])

    def _lines(self, command: list[str]) -> Iterator[bytes]:
        with tempfile.TemporaryFile() as said, _run(command, stdout=subprocess.PIPE, stderr=said) as process:
            for number, line in enumerate(process.stdout):
                if number < _HEAD and self.position is None and (found := _POSITION.search(line)):
                    self.position = Position(found[1].decode(), int(found[2]))
                # A trigger belongs to whoever loads it: the dumping server's user may not exist there.
                yield _DEFINER.sub(b"", line) if line.startswith(b"/*!50003 CREATE*/") else line
            if process.wait() != 0:
                raise DumpError(_words(said))


def load(server: Server, pieces: Iterable[bytes]) -> None:
    """Run a dump against an empty schema. Raises DumpError; what was loaded by then stays."""
    refuse_in_transaction("loading a dump")
    with _login(server) as login:
        _feed([_tool("mariadb", "mysql"), login, "--default-character-set=utf8mb4", server.database], pieces)


def replay(server: Server, logs: Sequence[Path], start: Position, stop: int | None, source: str) -> None:
    """Replay the binary logs from the dump's position, up to the offset `stop` in the last of them; `source` is the
    schema that they were written for. By position: a clock's second holds many commits."""
    refuse_in_transaction("replaying a binary log")
    options = [f"--start-position={start.offset}", f"--rewrite-db={source}->{server.database}"]
    if stop is not None:
        options.append(f"--stop-position={stop}")
    reader = [_tool("mariadb-binlog", "mysqlbinlog"), *options, *map(str, logs)]
    with tempfile.TemporaryFile() as said, _run(reader, stdout=subprocess.PIPE, stderr=said) as process:
        with _login(server) as login:
            _feed([_tool("mariadb", "mysql"), login, "--binary-mode", server.database], _pieces(process.stdout))
        if process.wait() != 0:
            raise DumpError(_words(said))


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────────


def copy_sqlite(path: Path, scratch: Path) -> Iterator[bytes]:
    """A consistent copy of a database file that is in use, in pieces; it lies in `scratch` meanwhile."""
    refuse_in_transaction("dumping the database")
    copy = scratch / "database.sqlite"
    try:
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        with copy.open("rb") as file:
            yield from _pieces(file)
    finally:
        copy.unlink(missing_ok=True)


def write_sqlite(path: Path, pieces: Iterable[bytes]) -> None:
    """Write the database file, which must not exist yet. Raises DumpError."""
    draft = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # refuses a file that is there
    except OSError as error:
        raise DumpError(error.strerror or str(error)) from error
    finally:
        draft.unlink(missing_ok=True)


# ── the tools ───────────────────────────────────────────────────────────────────────────────────────


def _tool(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise DumpError(f"没有找到命令 {' 或 '.join(names)}，请安装数据库的客户端工具")


def _is_mariadb(tool: str) -> bool:
    with _run([tool, "--version"], stdout=subprocess.PIPE) as process:
        return b"MariaDB" in process.stdout.read()


def _run(command: list[str], **pipes: Any) -> subprocess.Popen:
    return subprocess.Popen(command, **pipes)  # noqa: S603 - the database's own tools, no shell


@contextlib.contextmanager
def _login(server: Server) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:  # made with mode 0600
        values = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
        file.write("[client]\n" + "".join(f"{name}={_quoted(str(value))}\n" for name, value in values.items()))
        file.flush()
        yield f"--defaults-extra-file={file.name}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _feed(command: list[str], pieces: Iterable[bytes]) -> None:
    with tempfile.TemporaryFile() as said, _run(command, stdin=subprocess.PIPE, stderr=said) as process:
        try:
            for piece in pieces:
                process.stdin.write(piece)
            process.stdin.close()
        except BrokenPipeError:
            pass  # its exit code says why it stopped reading
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            raise DumpError(_words(said))


def _pieces(file) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _words(said) -> str:
    said.seek(0)
    return said.read(2000).decode("utf-8", "replace").strip()[-500:]
