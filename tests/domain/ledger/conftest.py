from __future__ import annotations

import pytest

from tests.domain.ledger import wallets


@pytest.fixture
def wallet(app):
    """An empty wallet of a family with one parent: its id."""
    return wallets.make_wallet()
