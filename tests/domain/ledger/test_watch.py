"""Watching over the ledger by the clock: people hear of what does not hold; the state leaves the house."""

from __future__ import annotations

import pytest

from app.db import db
from app.domain.ledger import watch
from app.domain.ledger.watch import LedgerBroken
from tests.domain.ledger.test_verify import _drop_triggers
from tests.domain.outbox.families import rows
from tests.factories import make_family


@pytest.fixture
def broken(live_app):
    """A ledger with one altered reason, by somebody who could drop the triggers."""
    with live_app.app_context():
        families = [make_family(balance="120.00") for _ in range(2)]
        with db.engine.begin() as connection:
            _drop_triggers(connection)
        yield families
        db.session.remove()


def alter(wallet_id: int) -> None:
    with db.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE wallet_transactions SET reason = '别的' WHERE wallet_id = {wallet_id}")


def test_a_sound_ledger_says_how_much_was_read(broken):
    assert watch.check(full=True) == "钱包 2 个，读取流水 2 笔，全部相符"
    assert watch.check(full=False) == "钱包 2 个，读取流水 0 笔，全部相符"
    assert rows(type="ledger.broken") == []


def test_a_finding_is_told_once_a_day_and_a_new_one_again(broken):
    first, second = broken
    alter(first.wallet_id)
    for _ in range(2):
        with pytest.raises(LedgerBroken, match="1 处不符"):
            watch.check(full=True)
    [card] = rows(type="ledger.broken")
    assert (card.recipient, card.queue) == ("system", "urgent")
    assert f"wallet={first.wallet_id} seq=1" in card.text
    alter(second.wallet_id)
    with pytest.raises(LedgerBroken, match="2 处不符"):
        watch.check(full=True)
    assert len(rows(type="ledger.broken")) == 2


def test_no_anchor_of_a_ledger_that_does_not_hold(broken):
    alter(broken[0].wallet_id)
    with pytest.raises(LedgerBroken, match="检查点没有发出"):
        watch.send_anchor()
    assert rows(type="ledger.anchor") == []
