"""Alembic's entry: runs the numbered migrations on the application's own engine."""

from __future__ import annotations

from alembic import context
from flask import current_app

from app.db import db
from migrations import waiting


def run() -> None:
    with db.engine.connect() as connection:
        waiting.prepare(connection)
        options = {
            "connection": connection,
            "target_metadata": db.metadatas[None],
            "render_as_batch": True,
            "compare_type": False,
            "transaction_per_migration": True,
        }
        context.configure(**options)
        # What the command wants done is known only to the context; commands that run no step have none.
        if steps := context.get_context().opts.get("fn"):
            context.configure(**options, fn=waiting.patiently(steps))
        with context.begin_transaction():
            context.run_migrations()


current_app.logger.debug("migrating")
run()
