"""Adjustments through the real form while the web workers are killed, and the same without keys (U9, R5).

The full size (64 clients, 300 forms each) is `python -m bench.killed_web`.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench import killed_web

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]


def trial(live_app, tmp_path, **size) -> killed_web.Outcome:
    database = SimpleNamespace(url=live_app.extensions["desk.settings"].database_url)
    return killed_web.run(live_app, database, tmp_path / "instance", **size)


def test_each_form_is_done_once_however_often_it_is_sent(live_app, tmp_path):
    got = trial(live_app, tmp_path, clients=6, forms=8)
    assert got.forms == got.movements == got.distinct == 48
    assert got.sum_holds
    assert got.refused == []
    assert got.kills > 0


def test_without_keys_some_are_done_twice(live_app, tmp_path):
    """The control: a fresh form for each try. If this finds no duplicates, the test above proves nothing."""
    if live_app.extensions["desk.settings"].database_url.startswith("sqlite"):
        pytest.skip("one control is enough, and SQLite's single writer makes it slow")
    prepared, sent, twice = killed_web.prepare(live_app, 8), 0, 0
    for _ in range(6):
        # Whether a worker dies between its COMMIT and its answer is chance: on a busy machine a trial may miss it.
        got = trial(live_app, tmp_path, clients=8, forms=10, control=True, interval=0.4, prepared=prepared)
        sent += got.forms
        twice = got.movements - sent
        if twice:
            break
    assert twice > 0
    assert got.sum_holds
