"""The studio's wall clock inside a statement: the day, the weekday and the minute of the day of a UTC column, and the
time between two.

China has kept one offset since 1991, so eight hours are added, on every database alike. A table of zones in MySQL is an
installation step of its own, and SQLite has none.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class studio_day(GenericFunction):
    """The calendar day, as the driver gives it: a date, or on SQLite its ISO text."""

    inherit_cache = True


class studio_weekday(GenericFunction):
    """1 (Monday) to 7 (96.20)."""

    type = sa.Integer()
    inherit_cache = True


class studio_minute(GenericFunction):
    """Minutes since the studio's midnight, 0 to 1439."""

    type = sa.Integer()
    inherit_cache = True


class seconds_between(GenericFunction):
    """Whole seconds from the first moment to the second, each without its fraction; negative where it comes first."""

    type = sa.Integer()
    inherit_cache = True


@compiles(studio_day, "mysql", "mariadb")
def _day_mysql(element, compiler, **kw) -> str:
    return f"DATE({compiler.process(element.clauses, **kw)} + INTERVAL 8 HOUR)"


@compiles(studio_day, "sqlite")
def _day_sqlite(element, compiler, **kw) -> str:
    return f"date({compiler.process(element.clauses, **kw)}, '+8 hours')"


@compiles(studio_weekday, "mysql", "mariadb")
def _weekday_mysql(element, compiler, **kw) -> str:
    return f"(WEEKDAY({compiler.process(element.clauses, **kw)} + INTERVAL 8 HOUR) + 1)"


@compiles(studio_weekday, "sqlite")
def _weekday_sqlite(element, compiler, **kw) -> str:
    return f"((strftime('%w', {compiler.process(element.clauses, **kw)}, '+8 hours') + 6) % 7 + 1)"


@compiles(studio_minute, "mysql", "mariadb")
def _minute_mysql(element, compiler, **kw) -> str:
    return f"(TIME_TO_SEC(TIME({compiler.process(element.clauses, **kw)} + INTERVAL 8 HOUR)) DIV 60)"


@compiles(studio_minute, "sqlite")
def _minute_sqlite(element, compiler, **kw) -> str:
    column = compiler.process(element.clauses, **kw)
    return f"(strftime('%H', {column}, '+8 hours') * 60 + strftime('%M', {column}, '+8 hours'))"


@compiles(seconds_between, "mysql", "mariadb")
def _between_mysql(element, compiler, **kw) -> str:
    # Each against one fixed moment: the difference of two moments would round their fractions together.
    first, second = (f"TIMESTAMPDIFF(SECOND, '2000-01-01', {compiler.process(one, **kw)})" for one in element.clauses)
    return f"({second} - {first})"


@compiles(seconds_between, "sqlite")
def _between_sqlite(element, compiler, **kw) -> str:
    # Cut to the second: by itself SQLite rounds to a thousandth, and so now and then to the next second.
    first, second = (f"strftime('%s', substr({compiler.process(one, **kw)}, 1, 19))" for one in element.clauses)
    return f"({second} - {first})"
