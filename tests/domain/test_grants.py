"""What the database users of production may do (Z7), tried on a real server with temporary users."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pymysql
import pytest
from sqlalchemy.engine import make_url

from app import clock, create_app
from app.config import ROOT
from app.db import db
from app.domain.audit import seals
from app.domain.audit.actor import system
from app.domain.ledger import service as ledger
from app.flows import backup
from tests import databases
from tests.conftest import build_app, make_settings
from tests.databases import MYSQL_URL, FreshDatabase

SCRIPT = (Path(ROOT) / "deploy" / "grants.sql").read_text(encoding="utf-8")
ROLES = ("app", "migrate", "report", "backup")
APPEND_ONLY = (
    "wallet_transactions", "audit_log", "audit_seals", "compensation_history", "day_closes", "erasure_certificates",
)  # fmt: skip
#: what `app` only reads
READ_ONLY = {"audit_archives"}
DENIED = {1142, 1143, 1044, 1227, 1370}

needs_mysql = pytest.mark.skipif("mysql" not in databases.engines(), reason="no MySQL or MariaDB answers here")


def connect(user: str | None = None, password: str = "", database: str | None = None):
    url = make_url(MYSQL_URL)
    return pymysql.connect(
        host=url.host, port=url.port or 3306, user=user or url.username, password=password or url.password or "",
        database=database, autocommit=True,
    )  # fmt: skip


class Server:
    """A migrated database with the four users of the script under names of their own."""

    def __init__(self, folder: Path):
        self.database = FreshDatabase("mysql", "grants")
        self.mark = secrets.token_hex(3)
        self.password = secrets.token_urlsafe(16)
        self.app = build_app(self.database, folder)
        self.run_script()

    def user(self, role: str) -> str:
        return f"{role}_{self.mark}"

    def run_script(self) -> None:
        sql = re.sub(r"(?m)^--.*$", "", SCRIPT).replace("DATABASE", self.database.name).replace("HOST", "%")
        for role in ROLES:
            sql = sql.replace(f"{role.upper()}_PASSWORD", self.password).replace(f"'{role}'@", f"'{self.user(role)}'@")
        with connect() as connection, connection.cursor() as cursor:
            for statement in filter(None, map(str.strip, sql.split(";"))):
                cursor.execute(statement)

    def as_role(self, role: str):
        return connect(self.user(role), self.password, self.database.name)

    def try_as(self, role: str, sql: str) -> int:
        """0, or the server's refusal."""
        with self.as_role(role) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(sql)
            except pymysql.MySQLError as error:
                return error.args[0]
        return 0

    def drop(self) -> None:
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()
        with connect() as connection, connection.cursor() as cursor:
            for role in ROLES:
                cursor.execute(f"DROP USER IF EXISTS '{self.user(role)}'@'%'")
        self.database.drop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("grants"))
    yield made
    made.drop()


def test_each_table_is_named(base_app):
    written = set(re.findall(r"GRANT INSERT(?:, UPDATE, DELETE)? ON `DATABASE`\.`(\w+)`", SCRIPT))
    with base_app.app_context():
        assert written == set(db.metadata.tables) - READ_ONLY


def test_logs_are_only_appended_to():
    appended = set(re.findall(r"GRANT INSERT ON `DATABASE`\.`(\w+)`", SCRIPT))
    assert appended == set(APPEND_ONLY)


@needs_mysql
@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "DROP TABLE {}", "TRUNCATE TABLE {}"])
def test_app_cannot_rewrite_history(server, table, statement):
    assert server.try_as("app", statement.format(table)) == 1142


@needs_mysql
def test_app_archives_nothing(server):
    """Rows leave the log by `migrate` alone, and only those that an archive names."""
    entry = (
        "INSERT INTO audit_log (created_at, actor_type, actor_name, action, target_type, target_id)"
        " VALUES (NOW(6), 'system', 'test', 'a.b', 'thing', '1')"
    )
    archive = "INSERT INTO audit_archives VALUES (1, '2016-03-01', 'f', 'x', 1, {}, 1, REPEAT('x', 32), 'm', NOW(6))"
    assert server.try_as("app", entry) == 0
    assert server.try_as("app", archive.format(9)) == 1142
    assert server.try_as("migrate", "DELETE FROM audit_log") == 1644
    assert server.try_as("migrate", archive.format(1_000_000)) == 0
    assert server.try_as("app", "DELETE FROM audit_log") == 1142
    assert server.try_as("migrate", "DELETE FROM audit_archives") == 1644
    assert server.try_as("migrate", "DELETE FROM audit_log") == 0


@needs_mysql
@pytest.mark.parametrize(
    "statement",
    ["DROP TRIGGER wallet_transactions_no_update", "CREATE TABLE t (id INT)", "ALTER TABLE wallets ADD x INT",
     "UPDATE alembic_version SET version_num = 'x'", "CREATE USER 'x'@'%'"],
)  # fmt: skip
def test_app_has_no_power_over_the_schema(server, statement):
    assert server.try_as("app", statement) in DENIED | {1360}


@needs_mysql
def test_the_product_works_as_app(server, tmp_path):
    """The control: with these privileges money moves, so that what is refused above is not simply everything."""
    url = make_url(server.database.url).set(username=server.user("app"), password=server.password)
    app = create_app(make_settings(url.render_as_string(hide_password=False), tmp_path))
    with server.app.app_context():
        from tests.factories import make_family

        family = make_family()
        db.session.remove()
    with app.app_context():
        done = ledger.credit(
            family_id=family.id, amount=Decimal("500.00"), idempotency_key="grants-1", reference_type="adjustment",
            reference_id=1, reason="充值", actor=system("test"),
        )  # fmt: skip
        assert done.amount == Decimal("500.00")
        with clock.travel(by=timedelta(minutes=5)):
            assert seals.seal_due() > 0
        db.session.remove()
        db.engine.dispose()


@needs_mysql
def test_report_reads_figures_and_nobody(server):
    assert server.try_as("report", "SELECT wallet_id, amount FROM wallet_transactions") == 0
    assert server.try_as("report", "SELECT id, member_status FROM users") == 0
    for sql in ("SELECT phone FROM users", "SELECT * FROM profiles", "SELECT name FROM families", "SELECT * FROM staff",
                "SELECT * FROM receipts", "DELETE FROM wallets", "INSERT INTO levels (name) VALUES ('x')"):  # fmt: skip
        assert server.try_as("report", sql) in DENIED, sql


@needs_mysql
def test_backup_reads_all_and_writes_nothing(server):
    for table in ("users", "wallet_transactions", "audit_log", "alembic_version"):
        assert server.try_as("backup", f"SELECT * FROM {table}") == 0
    for sql in ("DELETE FROM levels", "INSERT INTO levels (name) VALUES ('x')", "DROP TABLE levels"):
        assert server.try_as("backup", sql) in DENIED


@needs_mysql
def test_backup_makes_a_backup(server, tmp_path):
    url = make_url(server.database.url).set(username=server.user("backup"), password=server.password)
    app = create_app(make_settings(url.render_as_string(hide_password=False), tmp_path / "instance"))
    with app.app_context():
        target, _manifest = backup.create(tmp_path / "backups")
        assert backup.check(target)
        db.session.remove()
        db.engine.dispose()


@needs_mysql
def test_migrate_changes_the_schema_of_this_database_only(server):
    assert server.try_as("migrate", "CREATE TABLE expand_contract (id INT)") == 0
    assert server.try_as("migrate", "DROP TABLE expand_contract") == 0
    assert server.try_as("migrate", "CREATE DATABASE elsewhere") in DENIED


@needs_mysql
def test_the_script_can_be_run_again(server):
    server.run_script()
    assert server.try_as("app", "DELETE FROM audit_log") == 1142
