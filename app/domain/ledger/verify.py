"""Checking the ledger (W4, W32): every balance, seq and hash is computed again and compared.

A full run reads all rows in the order in which they were written, so that a table larger than the database's memory
is read once and sequentially, and keeps one head per wallet in memory (about 300 bytes each). An incremental run
starts from the heads of the last anchor and reads only what came after. Both read one consistent snapshot: a ledger
that moves meanwhile is never reported. Ids ascend with seq within a wallet, since both are given under its lock.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from app.db import db
from app.domain.audit.actor import Actor, system
from app.domain.ledger import anchors, hashing
from app.domain.ledger.anchors import EMPTY, Head

BATCH = 5000
#: rows per answer of a full run on MySQL: some 500 kB
PACK = 2000
_NTH_ID = "SELECT MAX(id) FROM (SELECT id FROM wallet_transactions WHERE id > {last} ORDER BY id LIMIT {size}) part"
#: wallets per query of an incremental run
RANGES = 200

Heads = dict[int, Head]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """The first thing that is wrong with one wallet. Wallet 0 stands for the ledger's own checkpoint."""

    wallet_id: int
    seq: int
    problem: str

    def __str__(self) -> str:
        if self.wallet_id == 0:
            return f"检查点：{self.problem}"
        return f"wallet={self.wallet_id} seq={self.seq} {self.problem}"


@dataclass(slots=True)
class Report:
    """What a run found. `root` is the anchor of the verified state, None when something is wrong."""

    full: bool
    wallets: int = 0
    rows_read: int = 0
    #: the sum of all balances
    fen: int = 0
    root: str | None = None
    #: the root of the last anchor before, whose state this one contains; None before the first
    base: str | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.findings


def run(
    *, full: bool = False, anchor_root: str | None = None, keep_anchor: bool = True, actor: Actor | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Report:  # fmt: skip
    """Verify and, when all is sound, keep the state as a new anchor. Runs outside of any transaction.

    `anchor_root` is a root that left the machine earlier: the run is then full, and also says whether the ledger
    still contains that state. `progress` hears now and then how many rows were read; what it raises ends the run.
    """
    with _snapshot() as connection:
        check = _Check(connection, full=full or anchor_root is not None, progress=progress)
        check.verify()
        if anchor_root is not None:
            check.compare(anchor_root)
    report = check.report
    report.base = check.base and check.base.root
    report.findings = sorted(check.bad.values())
    if report.sound and keep_anchor:
        report.root = anchors.write(heads=check.wallets, base=check.base, actor=actor or system("ledger verify"))
    elif report.sound:
        report.root = anchors.merkle_root(check.wallets)
    return report


@contextmanager
def _snapshot() -> Iterator[Connection]:
    """A connection of its own whose reads all see one moment, without the time limit that statements have else."""
    db.session.rollback()
    engine = db.engine
    if not isinstance(engine, Engine):  # a test's outer transaction: its connection sees what the test wrote
        yield engine
        return
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
            connection.detach()  # closed afterwards: the next user must not inherit the missing limit
            server = connection.connection.dbapi_connection.get_server_info()
            limit = "max_statement_time" if "MariaDB" in server else "max_execution_time"
            connection.exec_driver_sql(f"SET {limit} = 0")
        yield connection


class _Check:
    """One run. `findings` holds one entry per bad wallet, the first that its rows show."""

    def __init__(self, connection: Connection, *, full: bool, progress: Callable[[int], None]):
        self.connection, self.progress = connection, progress
        self.dialect = connection.dialect.name
        self.bad: dict[int, Finding] = {}
        self.base = anchors.last(connection)
        self.wallets = self._read_wallets()
        self.report = Report(full=full, wallets=len(self.wallets), fen=anchors.totals(self.wallets.values())[2])
        if self.base is not None and not self.base.intact:
            self._blame(0, 0, "检查点与它自己的根不符，已改为全量核对")
            self.report.full = True

    def verify(self) -> None:
        marks = self.base.heads if self.base is not None else {}
        if self.report.full:
            heads = self._follow(self._all_rows(), {})
        else:
            moved = [i for i, wallet in self.wallets.items() if wallet.seq > marks.get(i, EMPTY).seq]
            heads = self._follow(self._newer_rows(moved, marks), marks)
            self._compare_tops()
        self._compare_wallets(heads)
        self._contains(marks, read=self.report.full)

    def compare(self, root: str) -> None:
        """Whether the state behind an outside root is still in the ledger. Findings name what is not."""
        anchor = anchors.find(self.connection, root)
        if anchor is None:
            self._blame(0, 0, f"本库没有根为 {root} 的检查点，无法证明当时的状态仍在账本中")
            return
        if not anchor.intact:
            self._blame(0, 0, f"检查点 {root} 的明细已被改动，与根不符")
        self._contains(anchor.heads, read=True)

    # ── reading ──

    def _read_wallets(self) -> dict[int, Head]:
        fen = hashing.fen_column("balance", self.dialect)
        rows = self.connection.execute(sa.text(f"SELECT id, version, {fen}, head_hash FROM wallets"))  # noqa: S608
        return {wallet_id: Head(version, amount, head) for wallet_id, version, amount, head in rows}

    def _newer_rows(self, moved: list[int], marks: Heads) -> Iterator[bytes]:
        for start in range(0, len(moved), RANGES):
            ranges = (f"(wallet_id = {i} AND seq > {marks.get(i, EMPTY).seq})" for i in moved[start : start + RANGES])
            yield from self._rows(f"WHERE {' OR '.join(ranges)} ORDER BY wallet_id, seq")

    def _all_rows(self) -> Iterator[bytes]:
        if self.dialect == "sqlite":
            return self._rows("ORDER BY id")
        return self._packed_rows()

    def _packed_rows(self) -> Iterator[bytes]:
        """All rows by id, some thousand to an answer: unpacking single rows is most of the driver's time.

        They are joined by a separator that nobody can have written into a row. An answer near the server's limit
        may have been cut and is asked for again in smaller parts.
        """
        separator = secrets.token_hex(16)
        limit = self._scalar("SELECT @@max_allowed_packet")
        self.connection.execute(sa.text(f"SET SESSION group_concat_max_len = {limit}"))
        last, size = 0, PACK
        while (top := self._scalar(_NTH_ID.format(last=last, size=size))) is not None:
            query = (
                f"SELECT GROUP_CONCAT({hashing.stored_row(self.dialect)} ORDER BY id SEPARATOR '{separator}')"  # noqa: S608
                f" FROM wallet_transactions WHERE id > {last} AND id <= {top}"
            )
            packed = self._scalar(query)
            if len(packed) > limit // 2 and size > 1:
                size = max(size // 8, 1)
                continue
            yield from packed.split(separator.encode())
            self.progress(self.report.rows_read)
            last, size = top, min(size * 2, PACK)

    def _scalar(self, query: str) -> Any:
        return self.connection.execute(sa.text(query)).scalar()

    def _rows(self, rest: str) -> Iterator[bytes]:
        """Stored hash, stored previous hash and encoding of each row, streamed."""
        query = sa.text(f"SELECT {hashing.stored_row(self.dialect)} FROM wallet_transactions {rest}")  # noqa: S608
        result = self.connection.execute(query, execution_options={"yield_per": BATCH})
        if self.dialect == "sqlite":
            for part in result.partitions(BATCH):
                yield from map(b"".join, part)
                self.progress(self.report.rows_read)
        else:
            for part in result.scalars().partitions(BATCH):
                yield from part

    # ── comparing ──

    def _follow(self, rows: Iterable[bytes], start: Heads) -> Heads:
        """Compute the chains again from the given heads on; returns where each sound one ends."""
        # Plain tuples under the wallet's id as the bytes in the row: this loop is the cost of a full run.
        chains = {str(i).encode(): (h.seq + 1, h.fen, h.hash or hashing.NO_HASH) for i, h in start.items()}
        first, sha256, bad = (1, 0, hashing.NO_HASH), hashlib.sha256, set()
        for row in rows:
            self.report.rows_read += 1
            _, key, seq, amount, before, after, _ = row[64:].split(b"|", 6)
            if bad and key in bad:
                continue
            expected, fen, head = chains.get(key, first)
            total = fen + int(amount)
            if (
                int(seq) == expected
                and row[32:64] == head
                and int(before) == fen
                and int(after) == total
                and sha256(row[32:]).digest() == row[:32]
            ):
                chains[key] = (expected + 1, total, row[:32])
            else:
                bad.add(key)
                self._blame_row(int(key), int(seq), expected, continues=row[32:64] == head and int(before) == fen)
        return {
            int(key): Head(seq - 1, fen, head if seq > 1 else None)
            for key, (seq, fen, head) in chains.items()
            if key not in bad
        }

    def _blame_row(self, wallet_id: int, seq: int, expected: int, *, continues: bool) -> None:
        if seq > expected:
            self._blame(wallet_id, expected, "这一笔不见了，或顺序被调换")
        elif seq < expected:
            self._blame(wallet_id, seq, "这一笔重复，或顺序被调换")
        elif continues:
            self._blame(wallet_id, seq, "内容与哈希不符，已被改动")
        else:
            self._blame(wallet_id, seq, "与前一笔不衔接，已被改动或插入")

    def _compare_wallets(self, heads: Heads) -> None:
        for wallet_id, wallet in self.wallets.items():
            if wallet_id in self.bad:
                continue
            head = heads.get(wallet_id, EMPTY)
            if wallet.seq > head.seq:
                self._blame(wallet_id, head.seq + 1, "最新的流水不见了")
            elif wallet.seq < head.seq:
                self._blame(wallet_id, wallet.seq + 1, "这一笔没有计入钱包")
            elif wallet != head:
                self._blame(wallet_id, wallet.seq, "钱包的余额或链头与最新一笔不符")
        for wallet_id in heads.keys() - self.wallets.keys():
            self._blame(wallet_id, 1, "有流水而没有钱包")

    def _compare_tops(self) -> None:
        """The newest seq of each wallet, from the index alone: rows cut off or pushed in at the end show at once."""
        query = sa.text("SELECT wallet_id, MAX(seq) FROM wallet_transactions GROUP BY wallet_id")
        tops = dict(self.connection.execute(query).all())
        for wallet_id in self.wallets.keys() | tops.keys():
            top, wallet = tops.get(wallet_id, 0), self.wallets.get(wallet_id, EMPTY)
            if top < wallet.seq:
                self._blame(wallet_id, top + 1, "最新的流水不见了")
            elif top > wallet.seq:
                self._blame(wallet_id, wallet.seq + 1, "这一笔没有计入钱包")

    def _contains(self, marks: Heads, *, read: bool) -> None:
        """Whether the ledger still holds each head of an anchor; `read` looks at the rows themselves."""
        moved = {}
        for wallet_id, mark in marks.items():
            wallet = self.wallets.get(wallet_id)
            if wallet is None:
                self._blame(wallet_id, 1, "检查点里的钱包不见了")
            elif wallet.seq < mark.seq:
                self._blame(wallet_id, wallet.seq + 1, f"检查点时已有 {mark.seq} 笔，最新的流水不见了")
            elif wallet.seq == mark.seq and wallet != mark:
                self._blame(wallet_id, mark.seq, "与检查点不符，历史已被改写")
            elif wallet.seq > mark.seq > 0:
                moved[wallet_id] = mark
        if read:
            self._read_marks(list(moved.items()))

    def _read_marks(self, marks: list[tuple[int, Head]]) -> None:
        for start in range(0, len(marks), RANGES):
            part = dict(marks[start : start + RANGES])
            ranges = " OR ".join(f"(wallet_id = {i} AND seq = {mark.seq})" for i, mark in part.items())
            query = sa.text(f"SELECT wallet_id, hash FROM wallet_transactions WHERE {ranges}")  # noqa: S608
            found = dict(self.connection.execute(query).all())
            for wallet_id, mark in part.items():
                if found.get(wallet_id) != mark.hash:
                    self._blame(wallet_id, mark.seq, "与检查点不符，历史已被改写")

    def _blame(self, wallet_id: int, seq: int, problem: str) -> None:
        known = self.bad.get(wallet_id)
        if known is None or seq < known.seq:
            self.bad[wallet_id] = Finding(wallet_id, seq, problem)
