"""The staff portal: server-rendered pages, one blueprint per area (spec 80)."""

from __future__ import annotations

import importlib

from flask import Flask

from app.extensions import login
from app.web import context, errors, filters, permissions, rendering, security

#: Modules with a blueprint named `bp`. What is not listed here has no address.
BLUEPRINTS = (
    "app.web.auth",
    "app.web.account",
    "app.web.downloads",
    "app.web.home",
    "app.web.help",
    "app.web.search",
    "app.web.erasure",
    "app.web.families",
    "app.web.families_moves",
    "app.web.desk",
    "app.web.bulk",
    "app.web.longjobs",
    "app.web.choosing",
    "app.web.schedule",
    "app.web.bookings",
    "app.web.waitlist",
    "app.web.waitlist_report",
    "app.web.makeups",
    "app.web.makeup_report",
    "app.web.behaviour",
    "app.web.orders",
    "app.web.withdrawals",
    "app.web.books",
    "app.web.cases",
    "app.web.reconcile",
    "app.web.arrears",
    "app.web.questions",
    "app.web.receipts",
    "app.web.notices",
    "app.web.settings",
    "app.web.audit",
    "app.web.insiders",
    "app.web.staff",
    "app.web.system",
)


def init_app(app: Flask) -> None:
    """Bind the portal: who is signed in, default deny, CSRF, headers, error pages, templates, blueprints."""
    login.init_app(app, add_context_processor=False)
    login.session_protection = None  # our session rows are revoked by the server; a moving address is no theft
    login.request_loader(permissions.load_person)
    security.init_app(app)
    errors.init_app(app)
    filters.register(app)
    rendering.register(app)
    context.init_app(app)
    for name in BLUEPRINTS:
        app.register_blueprint(importlib.import_module(name).bp)
