"""Core statements for hot paths, compiled once and given to the driver (the wallet, its audit row, its notice)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from app.db import require_transaction


@dataclass(slots=True)
class Outcome:
    """What a prepared statement did: the rows of a SELECT as typed tuples, else the driver's two numbers."""

    rows: Sequence[tuple]
    rowcount: int
    lastrowid: int | None


class Prepared:
    """A Core statement of a hot path: compiled once per database, then given to the driver itself.

    SQLAlchemy's execution costs as much again as the driver's (docs/performance.md), which only shows where a
    transaction is nothing but a few short statements. Types, error classes and the loss of a connection are handled
    as SQLAlchemy would; where someone listens to statements (SQLite's BEGIN, tests), they go its way.
    """

    def __init__(self, statement: Any):
        self._statement = statement
        self._forms: dict[tuple, Form] = {}

    def __call__(self, parameters: dict[str, Any]) -> Outcome:
        """Run it on the open transaction's connection. Raises DBAPIError and its kin."""
        current = require_transaction()
        current.session.flush()
        connection = current.connection
        key = (connection.dialect.name, *parameters)
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = Form(self._statement, connection.dialect, parameters)
        values = form.values(parameters)
        if connection._has_events or connection.engine._has_events:
            result = connection.exec_driver_sql(form.text, values)
            if form.results:
                return Outcome(form.typed(result.all()), -1, None)
            return Outcome((), result.rowcount, result.lastrowid)
        return self._drive(connection, form, values)

    @staticmethod
    def _drive(connection: Connection, form: Form, values: Any) -> Outcome:
        dialect, raw = connection.dialect, connection.connection.dbapi_connection
        cursor = raw.cursor()
        try:
            cursor.execute(form.text, values)
            rows = form.typed(cursor.fetchall()) if form.results else ()
            return Outcome(rows, cursor.rowcount, cursor.lastrowid)
        except dialect.loaded_dbapi.Error as error:
            lost = dialect.is_disconnect(error, raw, cursor)
            if lost:
                connection.invalidate(error)
            raise DBAPIError.instance(
                form.text, values, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
            ) from error
        finally:
            cursor.close()

    def row(self, parameters: dict[str, Any]) -> tuple | None:
        """The first row of a SELECT, or None."""
        rows = self(parameters).rows
        return rows[0] if rows else None


class Form:
    """A statement's text for one database and one set of parameters, with what turns values to and fro."""

    def __init__(self, statement: Any, dialect: Any, parameters: dict[str, Any]):
        keys = None if statement.is_select else list(parameters)
        compiled = statement.compile(dialect=dialect, column_keys=keys)
        if keys is not None and (compiled.insert_prefetch or compiled.update_prefetch):
            raise ValueError("a prepared statement names every column that has a default")
        self.text = str(compiled)
        self.positional = compiled.positional
        known = {name: bind for bind, name in compiled.bind_names.items()}
        names = compiled.positiontup if compiled.positional else list(known)
        process = {name: known[name].type._cached_bind_processor(dialect) for name in names}
        self.binds = [(name, process[name]) for name in names]
        #: what the statement says itself, such as a status to look for
        self.constants = {name: known[name].value for name in names if name not in parameters}
        columns = statement.selected_columns if statement.is_select else ()
        self.results = [column.type._cached_result_processor(dialect, None) for column in columns]
        self.plain = not any(self.results)

    def values(self, parameters: dict[str, Any]) -> Any:
        if self.constants:
            parameters = self.constants | parameters
        if self.positional:
            return tuple(bind(parameters[name]) if bind else parameters[name] for name, bind in self.binds)
        return {name: bind(parameters[name]) if bind else parameters[name] for name, bind in self.binds}

    def typed(self, rows: Sequence[tuple]) -> Sequence[tuple]:
        if self.plain:
            return rows
        return [
            tuple(result(value) if result else value for result, value in zip(self.results, row, strict=True))
            for row in rows
        ]
