"""The keys of the account on this machine: made once, whole, and the same for all who ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app import pay_keys
from sandbox.pay_state import PayAccount


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_made_once_and_for_their_owner_only(tmp_path):
    folder = tmp_path / "instance" / "keys"
    keys = pay_keys.ensure(folder)
    before = contents(folder)
    assert set(before) == set(pay_keys._FILES)
    assert keys.merchant_key.read_bytes() == before["merchant_key.pem"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert pay_keys.ensure(folder) == keys
    assert contents(folder) == before
    assert PayAccount.read(folder).mchid == pay_keys.MCHID


@pytest.mark.parametrize("lost", pay_keys._FILES)
def test_one_that_is_missing_makes_all_anew(tmp_path, lost):
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in pay_keys._FILES:
        (folder / name).write_text("old")
    (folder / lost).unlink()
    pay_keys.ensure(folder)
    assert b"old" not in contents(folder).values()
    assert PayAccount.read(folder).apiv3_key == (folder / "apiv3_key").read_text()


def test_all_who_ask_at_once_get_the_same(tmp_path):
    folder = tmp_path / "keys"

    def read(_) -> str:
        return pay_keys.ensure(folder).apiv3_key.read_text()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(read, range(6)))) == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["keys"]
