"""Fixtures for all tests.

Every test that asks for `app` runs once per database that this machine has. It sees one connection inside an
outer transaction that is rolled back afterwards, so use cases may commit and nothing stays. Only tests that ask
for `live_app` (concurrency, processes) really commit, each in a database of its own.
"""

from __future__ import annotations

import atexit
import base64
import functools
import gc
import os
import shutil
import sys
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import flask_migrate
import pytest
import sqlalchemy as sa

from app import config, create_app, pay_keys
from app.db import db
from tests import databases, migrated
from tests.databases import FreshDatabase

_KEYS = {
    "DESK_ENV": "test",
    "DESK_SECRET_KEY": "test-secret-key-that-is-long-enough-for-hs256",
    "DESK_INDEX_KEY": "test-index-key-that-is-long-enough-too",
    "DESK_DATA_KEYS": "t1:" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
}

BROWSER_ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@functools.cache
def pay_folder() -> Path:
    """The payment account that all tests share: making RSA keys takes a while."""
    folder = Path(tempfile.mkdtemp(prefix="desk-pay-")) / "keys"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    pay_keys.ensure(folder)
    return folder


def pay_environ() -> dict[str, str]:
    """The same as settings of the merchant's side."""
    keys = pay_keys.PayKeys(pay_folder())
    return {
        "DESK_WXPAY_MCHID": pay_keys.MCHID, "DESK_WXPAY_CERT_SERIAL": pay_keys.CERT_SERIAL,
        "DESK_WXPAY_PRIVATE_KEY_FILE": str(keys.merchant_key), "DESK_WXPAY_APIV3_KEY": keys.apiv3_key.read_text(),
        "DESK_WXPAY_PUBLIC_KEY_ID": pay_keys.PUBLIC_KEY_ID, "DESK_WXPAY_PUBLIC_KEY_FILE": str(keys.platform_public),
    }  # fmt: skip


def make_settings(database_url: str, instance: Path, **environ: str) -> config.Settings:
    """Settings of a test application; `environ` overrides single DESK_* variables."""
    return config.load(
        {
            **_KEYS,
            **pay_environ(),
            "DESK_DATABASE_URL": database_url,
            "DESK_INSTANCE_DIR": str(instance),
            "DESK_REDIS_URL": "redis://127.0.0.1:1/0",  # nobody there: a test that wants Redis says so
            **environ,
        },
        testing=True,
    )


def build_app(database: FreshDatabase, instance: Path, *, upgrade: bool = True, **environ: str):
    """An application on a migrated database; without `upgrade` it is that already."""
    app = create_app(make_settings(database.url, instance, **environ))
    if upgrade:
        with app.app_context():
            flask_migrate.upgrade()
            db.session.remove()
    return app


@contextmanager
def committing_app(engine: str, instance: Path, **environ: str):
    """An application on a database of its own, where everything really commits."""
    database = migrated.take(engine)
    app = build_app(database, instance, upgrade=False, **environ)
    try:
        yield app
    finally:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()
        database.drop()


def pytest_sessionstart(session):
    missing = databases.missing()
    if missing:
        pytest.exit(f"DESK_TEST_REQUIRE asks for {', '.join(sorted(missing))}: not found", returncode=3)


#: folders that need the machine to themselves among their kind: at most one journey through the product runs at a time
#: (one product serves all of them), one test of the sandbox's pages, and one with processes that are killed and timed
_ALONE = {"e2e": "product", "sandbox": "pages", "concurrency": "processes", "tasks": "processes"}


#: what stands above the domain: with --in-turn each test here runs on one database, half of them on either. Whatever
#: writes or judges is below, in folders whose tests always run on each
_IN_TURN = ("tests/api/", "tests/cli/", "tests/sandbox/", "tests/web/", "tests/architecture/test_routes.py")


def pytest_addoption(parser):
    parser.addoption(
        "--in-turn", action="store_true", help="tests of pages, API and commands on one of the databases each"
    )


def _another_s_turn(item) -> bool:
    """Whether it is the turn of another database, which the test's name says: each process of a run finds the same."""
    engines = databases.engines()
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    its = next((value for value in parameters.values() if value in engines), None)
    name = item.nodeid.replace(its or "", "", 1)
    return its is not None and its != engines[zlib.crc32(name.encode()) % len(engines)]


def pytest_collection_modifyitems(config, items):
    if config.getoption("--in-turn"):
        resting = [item for item in items if item.nodeid.startswith(_IN_TURN) and _another_s_turn(item)]
        items[:] = [item for item in items if item not in set(resting)]
        config.hook.pytest_deselected(items=resting)
    # The long lines first: begun last, they would run on while the other processes have nothing left.
    items.sort(key=lambda item: item.path.parent.name not in _ALONE)


def pytest_collection_finish(session):
    """Modules and thousands of tests live to the end: looking through them again and again took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_xdist_make_scheduler(config, log):
    """Each file is one process's, and so is each line of `_ALONE`."""
    from xdist.scheduler import LoadScopeScheduling

    class Lines(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return _ALONE.get(Path(file).parent.name, file)

    return Lines(config, log)


def pytest_runtest_logreport(report):
    """Name a failure at once: the summary comes only at the end of the whole suite."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\nfailed: {report.nodeid} ({report.when})", file=sys.__stderr__, flush=True)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(
        f"databases: {', '.join(databases.engines())} · redis: {'server' if databases.has_redis() else 'embedded'}"
        f" · browser: {'chromium' if databases.CHROMIUM else 'none'}"
    )


@pytest.fixture(scope="session", params=databases.engines())
def base_app(request):
    """One migrated application per database for the whole run."""
    database = FreshDatabase(request.param, "base")
    with tempfile.TemporaryDirectory(prefix="desk-instance-") as instance:
        app = build_app(database, Path(instance))
        yield app
        with app.app_context():
            db.session.remove()
            db.engine.dispose()
    database.drop()


@pytest.fixture
def app(base_app):
    """The application inside an outer transaction; everything a test commits is rolled back after it."""
    with base_app.app_context():
        engine = db.engine
        connection = engine.connect()
        outer = connection.begin()
        engines = db._app_engines[base_app]
        engines[None] = connection
        options = db.session.session_factory.kw
        before = dict(options)
        options["join_transaction_mode"] = "create_savepoint"
        db.session.remove()
        try:
            yield base_app
        finally:
            db.session.remove()
            engines[None] = engine
            options.clear()
            options.update(before)
            outer.rollback()
            connection.close()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture(params=databases.engines())
def live_app(request, tmp_path):
    """An application on a database of its own, where everything really commits."""
    with committing_app(request.param, tmp_path / "instance") as app:
        yield app


@pytest.fixture(scope="session")
def chromium():
    """One browser for the run, as Playwright allows one a process; without one its tests are skipped, or the run fails
    where DESK_TEST_REQUIRE asks for it."""
    if not databases.CHROMIUM:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import expect, sync_playwright

    # What a page waits for takes a second; several times that while all processors work for other tests.
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=databases.CHROMIUM, headless=True, args=BROWSER_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def statements(app):
    """The SQL statements that ran, as a list to count."""
    seen: list[str] = []

    def note(_conn, _cursor, statement, *_rest):
        seen.append(statement)

    bind = db.session.get_bind()
    sa.event.listen(bind, "before_cursor_execute", note)
    yield seen
    sa.event.remove(bind, "before_cursor_execute", note)
