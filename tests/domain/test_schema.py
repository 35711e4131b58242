"""What the database itself refuses, on every database: money without a row, history changed."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.db import db


def test_models_and_migrations_agree(app):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    connection = db.session.connection()
    context = MigrationContext.configure(connection, opts={"compare_type": False})
    differences = [d for d in compare_metadata(context, db.metadatas[None]) if "alembic_version" not in str(d)]
    assert differences == []


@pytest.mark.parametrize("sql", ["UPDATE audit_log SET action='x'", "DELETE FROM audit_log"])
def test_audit_rows_stay(app, sql):
    db.session.execute(
        sa.text(
            "INSERT INTO audit_log (created_at, actor_type, actor_name, action, target_type, target_id)"
            " VALUES ('2026-01-01 00:00:00', 'system', 'test', 'a.b', 'thing', '1')"
        )
    )
    with pytest.raises(DBAPIError, match="append-only"):
        db.session.execute(sa.text(sql))
