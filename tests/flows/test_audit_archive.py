"""Months of the audit log as files: what is refused, what a file proves by itself, and that the rest still verifies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import clock, sealed_stream
from app.db import db, transaction
from app.domain.audit import archives, seals
from app.domain.audit import service as audit
from app.domain.audit.actor import system
from app.domain.audit.archives import AlreadyCut, NotArchivable
from app.domain.audit.models import AuditArchive, AuditEntry
from app.errors import Invalid
from app.flows import audit_archive, audit_file
from app.flows.audit_file import ArchiveBroken, ArchiveExists

ME = system("测试")
MARCH, APRIL = datetime(2016, 3, 9, 2, tzinfo=UTC), datetime(2016, 4, 5, 2, tzinfo=UTC)
UPTO = date(2016, 5, 1)


def write(at: datetime, count: int = 3) -> None:
    with clock.travel(to=at), transaction():
        for number in range(count):
            audit.record(ME, "test.done", target_type="thing", target_id=number, after={"数": number}, reason="原因")
    with clock.travel(to=at + timedelta(seconds=61)):
        seals.seal_due()


@pytest.fixture
def log(app):
    """Two months of ten years ago and a row of today, sealed."""
    write(MARCH)
    write(APRIL, 2)
    write(clock.now() - timedelta(minutes=5), 1)


def archive(folder, before=UPTO, **how):
    return list(audit_archive.create(before, folder, ME, **how))


def rows() -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(AuditEntry))


def test_a_month_is_a_file_that_verifies_alone_and_the_log_goes_on_without_it(log, tmp_path):
    there = rows()
    done = archive(tmp_path, drop=True)
    assert [(one.path.name, one.rows, one.dropped) for one in done] == [
        ("audit-2016-03.desk", 3, 3), ("audit-2016-04.desk", 2, 2),
    ]  # fmt: skip
    assert rows() == there - 5 + 4  # each month is noted when it is written, and when it goes
    assert audit_file.check(done[0].path).rows == 3
    found = seals.verify()
    assert (found.broken, found.archived) == (None, 5)
    assert b"\xe5\x8e\x9f\xe5\x9b\xa0" not in done[0].path.read_bytes()  # 原因: what rows say is encrypted
    assert archive(tmp_path, drop=True) == []


def test_without_drop_nothing_leaves_and_a_file_is_never_written_over(log, tmp_path):
    there = rows()
    assert [one.dropped for one in archive(tmp_path)] == [None, None]
    assert rows() == there + 2
    with pytest.raises(ArchiveExists):
        archive(tmp_path)
    assert [one.dropped for one in archive(tmp_path, drop=True)] == [3, 2]  # the same files, read again, serve


@pytest.mark.parametrize(
    ("before", "error"),
    [(date(2016, 4, 2), Invalid), (date(2999, 1, 1), Invalid)],
)
def test_only_whole_months_that_are_over(log, tmp_path, before, error):
    with pytest.raises(error):
        archive(tmp_path, before)


def test_a_month_within_its_retention_is_archived_only_when_asked_for(app, tmp_path):
    write(datetime(2025, 3, 9, 2, tzinfo=UTC))
    with pytest.raises(NotArchivable, match="保留期限"):
        archive(tmp_path, date(2025, 4, 1))
    assert archive(tmp_path, date(2025, 4, 1), early=True)[0].rows == 3


def test_what_is_not_sealed_is_not_archived(app, tmp_path):
    write(MARCH)
    with clock.travel(to=APRIL), transaction():
        audit.record(ME, "test.done", target_type="thing", target_id="late")
    with pytest.raises(NotArchivable, match="2016-04.*封存"):
        archive(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["audit-2016-03.desk"]  # the month before it was whole


def test_a_broken_chain_is_not_put_away(log, tmp_path, monkeypatch):
    text = seals.line
    monkeypatch.setattr(seals, "line", lambda row: text(row).replace("原因", "别的"))
    with pytest.raises(ArchiveBroken, match="封条"):
        archive(tmp_path, drop=True)
    assert list(tmp_path.iterdir()) == []


def test_every_kind_of_damage_is_found_before_anything_goes(log, tmp_path):
    archive(tmp_path)
    path, there = tmp_path / "audit-2016-03.desk", rows()
    whole = path.read_bytes()
    signed = len(whole.split(b"\n", 1)[0])
    for broken in (
        whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), whole.replace(b'\\"rows\\": 3', b'\\"rows\\": 2'),
        whole[: signed - 40], b"", b"{}\n",
    ):  # fmt: skip
        assert broken != whole
        path.write_bytes(broken)
        with pytest.raises(ArchiveBroken):
            archive(tmp_path, drop=True)
    assert rows() == there
    path.write_bytes(whole)  # the control
    assert archive(tmp_path, drop=True)[0].dropped == 3


def test_stopped_while_writing_leaves_no_file_and_stopped_while_rows_go_is_taken_up(log, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sealed_stream, "seal", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            archive(tmp_path, drop=True)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(archives, "BATCH", 2)
    drop, calls = archives._drop_batch, []

    def stopped(**span):
        calls.append(span)
        if len(calls) == 2:
            raise OSError("killed")
        return drop(**span)

    monkeypatch.setattr(archives, "_drop_batch", stopped)
    with pytest.raises(OSError, match="killed"):
        archive(tmp_path, drop=True)
    assert seals.verify().broken is None
    assert [one.dropped for one in archive(tmp_path, drop=True)] == [1, 2]
    assert seals.verify().broken is None


def test_the_anchor_holds_the_chain_and_stays(log, tmp_path):
    archive(tmp_path, drop=True)
    with pytest.raises(DBAPIError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.update(AuditArchive).values(rows=1))
    with pytest.raises(DBAPIError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.delete(AuditEntry))  # what no archive names stays
    month = archives.Month(date(2016, 3, 1), 1, 3, 1, 1, 3, None, bytes(32))
    with pytest.raises(AlreadyCut):
        archives.cut(month=month, file_name="x", sha256="0" * 64, actor=ME)
