"""The `flask` commands. Each module here has `register(app)`; a command is a thin edge over a use case or a flow."""

from __future__ import annotations

from importlib import import_module

from flask import Flask

MODULES = (
    "alerts",
    "audit",
    "backup",
    "catalog",
    "data",
    "demo",
    "doctor",
    "families",
    "jobs",
    "ledger",
    "openapi",
    "policy",
    "reconcile",
    "staff",
    "worker",
)


def init_app(app: Flask) -> None:
    for name in MODULES:
        import_module(f"app.cli.{name}").register(app)
