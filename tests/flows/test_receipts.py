"""Uploads from form to store and back: safe, encrypted, whole; nothing kept of what is refused (W14, S5, S11)."""

from __future__ import annotations

import dataclasses
import io
from datetime import timedelta
from pathlib import Path

import pytest

from app import clock, config, vault
from app.db import db, transaction
from app.domain.desk import queries
from app.domain.desk.errors import ReceiptNotFound
from app.domain.policy.models import PolicyValue
from app.errors import Forbidden, Invalid, Unavailable
from app.flows import receipts
from app.flows.receipts import Upload
from app.gateways.pictures import sniff
from tests.domain.desk.desk import ask
from tests.factories import make_family
from tests.gateways.receipt_files import EVIL, animation, jpeg_with_secrets, pdf, png, png_of_size
from tests.portal import actor_of, make_staff


@pytest.fixture
def store(app, tmp_path, monkeypatch):
    """A receipt folder of this test's own."""
    folder = tmp_path / "receipts"
    settings = dataclasses.replace(config.current(), storage_url=f"file:{folder}")
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    return folder


def keep(*files: bytes, staff=None, name: str = "a.png", already: int = 0):
    staff = staff or make_staff("finance")
    uploads = [Upload(name, io.BytesIO(data)) for data in files]
    return receipts.keep(uploads, actor=actor_of(staff), already=already)


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_kept_encrypted_under_random_names_and_read_back(store):
    staff = make_staff("finance")
    new = keep(png(), jpeg_with_secrets(), pdf(), staff=staff)
    files = stored(store)
    assert len(files) == len({receipt.storage_key for receipt in new}) == 3
    for path in files:
        sealed = path.read_bytes()
        assert sniff(sealed) is None
        assert EVIL not in sealed
        assert b"%PDF" not in sealed
    asked = ask(staff, make_family(), payment_method="pos", receipts=new)
    assert asked.status == "completed"
    rows = queries.receipts_of("adjustment", asked.adjustment_id)
    back = [receipts.read(row.id, actor=actor_of(make_staff("auditor"))) for row in rows]
    assert [file.media_type for file in back] == ["image/png", "image/jpeg", "application/pdf"]
    assert [sniff(file.data) for file in back] == [file.media_type for file in back]
    assert back[2].data == pdf()
    assert back[0].filename == f"receipt-{rows[0].id}.png"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "空文件"),
        (b"<svg onload=alert(1)>", "按内容判断"),
        (b"PK\x03\x04zip", "按内容判断"),
        (png()[:700], "无法读取"),
        (png_of_size(10_000, 10_000), "4000 万"),
        (animation(5), "动图"),
        (pdf(b"/JavaScript"), "脚本"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 11 * 1024 * 1024, "超过 10 MB"),
    ],
    ids=["empty", "svg", "zip", "truncated", "bomb", "animated", "script", "11MB"],
)
def test_what_is_refused_is_said_and_nothing_is_kept(store, data, said):
    with pytest.raises(Invalid) as refused:
        keep(png(), data, name="../../etc/张女士\u202e.png")
    (sentence,) = refused.value.errors["receipts"]
    assert said in sentence
    assert sentence.startswith("「张女士.png」")
    assert stored(store) == []


def test_five_at_most(store):
    with pytest.raises(Invalid, match="最多 5 个"):
        keep(png(), png(), already=4)
    assert stored(store) == []


def test_the_size_is_a_policy(store):
    with transaction():
        db.session.add(
            PolicyValue(name="receipt_max_bytes", value="102400", updated_at=clock.now(), updated_by="test")
        )  # fmt: skip
    with pytest.raises(Invalid, match="超过 100 KB"):
        keep(b"x" * 102401)


@pytest.mark.parametrize("role", ["auditor", "admin"])
def test_who_may_not_upload(store, role):
    with pytest.raises(Forbidden):
        keep(png(), staff=make_staff(role))


def test_who_may_not_see(store):
    with pytest.raises(Forbidden):
        receipts.read(1, actor=actor_of(make_staff("admin")))
    with pytest.raises(ReceiptNotFound):
        receipts.read(1, actor=actor_of(make_staff("finance")))


def test_a_file_that_was_changed_or_lost_is_not_served(store):
    staff = make_staff("finance")
    asked = ask(staff, make_family(), payment_method="pos", receipts=keep(png(), staff=staff))
    (row,) = queries.receipts_of("adjustment", asked.adjustment_id)
    path = store / row.storage_key
    path.write_bytes(vault.seal(png(2), receipts.PURPOSE))
    with pytest.raises(Unavailable, match="不一致"):
        receipts.read(row.id, actor=actor_of(staff))
    path.write_bytes(vault.seal(png(), "another purpose"))
    with pytest.raises(Unavailable, match="无法读取"):
        receipts.read(row.id, actor=actor_of(staff))
    path.unlink()
    with pytest.raises(Unavailable, match="无法读取"):
        receipts.read(row.id, actor=actor_of(staff))


def test_a_store_that_is_away(app, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    settings = dataclasses.replace(config.current(), storage_url=f"file:{tmp_path / 'file'}")
    monkeypatch.setitem(app.extensions, "desk.settings", settings)
    with pytest.raises(Unavailable, match="之后补上"):
        keep(png())


def test_orphans_go_after_a_day_and_receipts_stay(store):
    staff = make_staff("finance")
    used, _orphan = keep(png(1), png(2), staff=staff)
    ask(staff, make_family(), payment_method="pos", receipts=[used])
    assert receipts.sweep_orphans() == 0
    with clock.travel(by=timedelta(hours=25)):
        assert receipts.sweep_orphans() == 1
        assert receipts.sweep_orphans() == 0
    assert [f"{p.parent.name}/{p.name}" for p in stored(store)] == [used.storage_key]


def test_rotation_seals_every_file_with_the_newest_key(app, store):
    new = keep(png(), pdf())
    before = vault._keys["t1"]
    try:
        vault.install([("t2", b"2" * 32), ("t1", before)], "index secret")
        assert receipts.rotate() == 2
        assert receipts.rotate() == 0
        vault.install([("t2", b"2" * 32)], "index secret")  # the old key is gone, the files are not
        assert all(vault.unseal(path.read_bytes(), receipts.PURPOSE) for path in stored(store))
        assert len(stored(store)) == len(new)
        vault.install([("t3", b"3" * 32)], "index secret")
        with pytest.raises(Unavailable, match="旧密钥不能删去"):
            receipts.rotate()
        result = app.test_cli_runner().invoke(args=["data", "rotate"])
        assert result.exit_code == 1
        assert "旧密钥可以删去" not in result.output
    finally:
        vault.install(app.extensions["desk.settings"].data_keys, app.extensions["desk.settings"].index_key)
