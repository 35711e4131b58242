"""A whole list in pieces: each row once, in order, whatever lies between the ids; nothing that came later."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa

from app import clock, paging
from app.db import db, transaction
from app.domain.people.models import Family

_f = Family.__table__


def make(ids: list[int], name: str = "页") -> None:
    with transaction():
        db.session.execute(_f.insert(), [{"id": one, "name": name, "created_at": clock.now()} for one in ids])


def read(listing: paging.Listing) -> list[int]:
    return [row.id for piece in listing.pieces() for row in piece]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("ids", [
    [], [900], list(range(900, 903)), list(range(900, 906)), [900, 901, 902, 5_000, 5_001, 9_000_000],
    sorted(random.Random(7).sample(range(900, 4_000), 60)), [900, *range(50_000, 50_020), 10**12],
])  # fmt: skip
def test_each_row_once_in_order(app, monkeypatch, ids, oldest_first):
    monkeypatch.setattr(paging, "PIECE", 3)
    if ids:
        make(ids)
    make([17, 10**13], name="别的")
    listing = paging.whole(sa.select(_f).where(_f.c.name == "页"), _f.c.id, oldest_first=oldest_first)
    assert read(listing) == (ids if oldest_first else ids[::-1])
    assert listing.count() == len(ids)
    assert all(len(piece) <= 3 for piece in listing.pieces())


@pytest.mark.parametrize("oldest_first", [False, True])
def test_what_came_after_counting_is_in_neither(app, oldest_first):
    make([900, 901])
    listing = paging.whole(sa.select(_f).where(_f.c.name == "页"), _f.c.id, oldest_first=oldest_first)
    assert listing.count() == 2
    make([899, 902])
    assert sorted(read(listing)) == [900, 901]


def test_gaps_cost_few_statements(app, monkeypatch, statements):
    monkeypatch.setattr(paging, "PIECE", 3)
    make([900, 10**12])
    listing = paging.whole(sa.select(_f).where(_f.c.name == "页"), _f.c.id)
    listing.count()
    statements.clear()
    assert read(listing) == [10**12, 900]
    assert len(statements) < 30
