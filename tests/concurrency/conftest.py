"""One application per file and database for races that make people and families of their own."""

from __future__ import annotations

import pytest

from app.db import db
from tests import databases
from tests.conftest import committing_app


@pytest.fixture(scope="module", params=databases.engines())
def shared(request, tmp_path_factory):
    with committing_app(request.param, tmp_path_factory.mktemp("instance")) as app:
        yield app


@pytest.fixture
def desk(shared):
    with shared.app_context():
        yield shared
        db.session.remove()
