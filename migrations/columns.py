"""Column types as migrations write them, frozen apart from the models, which move on.

Money is DECIMAL(10,2) on MySQL/MariaDB and whole fen on SQLite; times are DATETIME(6) UTC; keys compare as bytes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql


def is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def big_id():
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def money():
    return sa.Numeric(10, 2).with_variant(sa.BigInteger(), "sqlite")


def utc():
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def ascii_(length: int):
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )


def prefix_text(length: int):
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def digest():
    return sa.LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb")


def sealed(length: int = 512):
    return sa.LargeBinary(length).with_variant(mysql.VARBINARY(length), "mysql", "mariadb")


def long_text():
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


# DDL commits by itself on MySQL, so a migration that was killed half way is run again from its start: each step
# looks first whether it is already there (Z8).


def create_table(name: str, *parts, **kwargs) -> None:
    """Create a table unless it is there; utf8mb4 on MySQL/MariaDB."""
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *parts, mysql_charset="utf8mb4", mysql_engine="InnoDB", **kwargs)


def create_index(name: str, table: str, columns: list[str], *, unique: bool = False) -> None:
    existing = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
    if name not in existing:
        op.create_index(name, table, columns, unique=unique)


def add_column(table: str, column: sa.Column) -> None:
    existing = {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in existing:
        op.add_column(table, column)


def add_reference(table: str, column: str, target: str) -> None:
    """Add a BIGINT that names a row of `target` by its id, or nothing, and its index."""
    if column not in {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}:
        name = f"fk_{table}_{column}"
        if is_sqlite():  # it adds no constraint to a table that is there, but takes one with a new column
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column} BIGINT CONSTRAINT {name} REFERENCES {target} (id)")
        else:
            reference = f"ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {target} (id)"
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column} BIGINT NULL, {reference}")
    create_index(f"ix_{table}_{column}", table, [column])


def drop_reference(table: str, column: str) -> None:
    """Remove what `add_reference` added."""
    if not is_sqlite() and column in {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT fk_{table}_{column}, DROP COLUMN {column}")  # with its index
        return
    drop_index(f"ix_{table}_{column}", table)
    drop_column(table, column)


def replace_check(table: str, name: str, old: str, new: str) -> None:
    """Give a CHECK another condition."""
    if not is_sqlite():
        # One statement: there is no moment without a check, and running it again changes nothing.
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} CHECK ({new})")
        return
    # SQLite has no statement for it, and a copy of the table is long; its own manual rewrites the definition where, as
    # here, no stored row changes its form (lang_altertable, "Making Other Kinds Of Table Schema Changes").
    version = op.get_bind().exec_driver_sql("PRAGMA schema_version").scalar()
    op.execute("PRAGMA writable_schema = ON")
    op.get_bind().execute(
        sa.text("UPDATE sqlite_master SET sql = replace(sql, :old, :new) WHERE type = 'table' AND name = :table"),
        {"old": f"CONSTRAINT {name} CHECK ({old})", "new": f"CONSTRAINT {name} CHECK ({new})", "table": table},
    )
    op.execute(f"PRAGMA schema_version = {version + 1}")  # the other connections read it anew
    op.execute("PRAGMA writable_schema = RESET")


def drop_column(table: str, name: str) -> None:
    if name in {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}:
        op.drop_column(table, name)


def drop_index(name: str, table: str) -> None:
    if name in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.drop_index(name, table)


def drop_table(name: str) -> None:
    if sa.inspect(op.get_bind()).has_table(name):
        op.drop_table(name)


def create_trigger(name: str, table: str, when: str, body: str) -> None:
    """(Re)create a trigger `when` (such as BEFORE UPDATE) on `table`; `body` is one statement per database."""
    op.execute(f"DROP TRIGGER IF EXISTS {name}")
    op.execute(f"CREATE TRIGGER {name} {when} ON {table} FOR EACH ROW {body}")


def refuse(name: str, table: str, action: str, message: str) -> None:
    """A trigger that refuses every `action` (UPDATE or DELETE) on a table, in both databases' words."""
    if is_sqlite():
        create_trigger(name, table, f"BEFORE {action}", f"BEGIN SELECT RAISE(ABORT, '{message}'); END")
    else:
        create_trigger(name, table, f"BEFORE {action}", f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{message}'")
