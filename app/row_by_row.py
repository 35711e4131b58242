"""A condition on another table that is asked row by row."""

from __future__ import annotations

import sqlalchemy as sa


def has_row(key: sa.Column, *where: sa.ColumnElement[bool], beside: tuple[sa.FromClause, ...] = ()):
    """Whether the table of `key` has such a row: EXISTS that is asked by an index for each row outside.

    An EXISTS MariaDB may turn round, and read the other table from end to end first. That is cheaper while it is
    small, and dearer with every year; what has a LIMIT it leaves as it is. `beside` are tables of the outer query,
    where they cannot be told by themselves.
    """
    query = sa.select(key).where(*where).limit(1)
    return (query.correlate(*beside) if beside else query).scalar_subquery().is_not(None)
