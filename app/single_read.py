"""A SELECT that is all its request reads: one round trip, without session, transaction and ROLLBACK.

A connection that reads inside a transaction must end it, which is a second round trip as long as the first. One
statement by itself sees one state of the database anyway, so it goes to a connection that commits by itself. Those
connections have a pool of their own: changing a connection to and fro would be two round trips more.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from app import config
from app.connections import engine_options, prepare_engine
from app.db import db, in_transaction
from app.prepared import Form

#: an application's engine → the one that reads beside it, which goes when the other does
_readers: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()


class SingleRead:
    """A Core SELECT. `row()` gives its first row as a named tuple, typed as SQLAlchemy would, or None."""

    def __init__(self, statement: sa.Select):
        self._statement = statement
        self._form: Form | None = None
        self._row = namedtuple("Row", statement.selected_columns.keys())

    def row(self, parameters: dict[str, Any]) -> Any | None:
        """Raises DBAPIError and its kin, and SQLAlchemy's TimeoutError when no connection is free."""
        bind = db.engine
        # SQLite has no round trips to save. Inside a transaction, and where somebody listens to statements (tests),
        # the session's connection is the right one.
        if bind.dialect.name == "sqlite" or not isinstance(bind, Engine) or bind._has_events or in_transaction():
            found = db.session.connection().execute(self._statement, parameters).first()
        else:
            found = self._read(bind, parameters)
        return None if found is None else self._row._make(found)

    def _read(self, engine: Engine, parameters: dict[str, Any]) -> tuple | None:
        reader = _readers.get(engine) or _make_reader(engine)
        dialect = reader.dialect
        if self._form is None:
            self._form = Form(self._statement, dialect, parameters)
        form = self._form
        values = form.values(parameters)
        try:
            pooled = reader.raw_connection()
        except dialect.loaded_dbapi.Error as error:
            # The pool gives the driver's error as it is, and who catches DBAPIError would not know that the database
            # is away.
            raise DBAPIError.instance(
                form.text, values, error, dialect.loaded_dbapi.Error, connection_invalidated=True, dialect=dialect
            ) from error
        try:
            cursor = pooled.dbapi_connection.cursor()
            cursor.execute(form.text, values)
            rows = form.typed(cursor.fetchmany(1))
            cursor.close()
        except dialect.loaded_dbapi.Error as error:
            lost = dialect.is_disconnect(error, pooled.dbapi_connection, None)
            if lost:
                pooled.invalidate(error)
            raise DBAPIError.instance(
                form.text, values, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
            ) from error
        finally:
            pooled.close()
        return rows[0] if rows else None


def _make_reader(engine: Engine) -> Engine:
    settings = config.current()
    options = engine_options(
        settings.database_url, pool_size=settings.database_pool_size, timeout=settings.database_timeout
    )
    reader = sa.create_engine(engine.url, **options | {"isolation_level": "AUTOCOMMIT"})
    prepare_engine(reader, timeout=settings.database_timeout)
    return _readers.setdefault(engine, reader)
