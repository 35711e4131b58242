"""`create_app`: settings → extensions → blueprints → error handlers → commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app import config, doorbell, health, logs, metrics, models, redis, vault  # noqa: F401 - models maps tables
from app.config import ROOT, Settings
from app.connections import engine_options, prepare_engine
from app.db import db
from app.extensions import csrf, htmx, migrate


class Desk(Flask):
    """Flask asks of every view and every hook, on every request, whether it is asynchronous. None of ours is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application. Connects to nothing: a database or Redis that is away shows in `/readyz`."""
    settings = settings or config.load()
    app = Desk(
        "app",
        root_path=str(ROOT / "app"),
        instance_path=str(settings.instance_dir.resolve()),
        template_folder=str(ROOT / "templates"),
        static_folder=str(ROOT / "static"),
    )
    app.extensions["desk.settings"] = settings
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.previous_secret_keys),
        TESTING=settings.testing,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(
            settings.database_url, pool_size=settings.database_pool_size, timeout=settings.database_timeout
        ),
        SESSION_COOKIE_NAME="__Host-desk" if settings.production else "desk",
        SESSION_COOKIE_SECURE=settings.production,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
        WTF_CSRF_TIME_LIMIT=None,  # the token lives as long as the session it belongs to
        WTF_CSRF_CHECK_DEFAULT=False,  # web/security.py checks it for the portal; the JSON API has no cookies
        MAX_CONTENT_LENGTH=60 * 1024 * 1024,  # five receipts; the API caps its bodies far lower
        MAX_FORM_MEMORY_SIZE=1024 * 1024,
        MAX_FORM_PARTS=200,
    )
    vault.install(settings.data_keys, settings.index_key)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    _bind(app, settings)
    return app


def _bind(app: Flask, settings: Settings) -> None:
    # Imported here: blueprints and commands import extensions and domain, which must exist first.
    from app import api, cli, web

    db.init_app(app)
    with app.app_context():
        prepare_engine(db.engine, timeout=settings.database_timeout)
    migrate.init_app(app, db, directory=str(ROOT / "migrations"), render_as_batch=True)
    csrf.init_app(app)
    htmx.init_app(app)
    for part in (logs, metrics, redis, doorbell, health, web, api, cli):
        part.init_app(app)
