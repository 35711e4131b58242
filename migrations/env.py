"""Alembic's entry: runs the numbered migrations on the application's own engine."""

from __future__ import annotations

from alembic import context
from flask import current_app

from app.db import db


def run() -> None:
    engine = db.engine
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            # The web's statement limit is too short for an index over millions of rows.
            if "MariaDB" in str(connection.connection.dbapi_connection.get_server_info()):
                connection.exec_driver_sql("SET max_statement_time=0")
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=db.metadatas[None],
            render_as_batch=True,
            compare_type=False,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()


current_app.logger.debug("migrating")
run()
