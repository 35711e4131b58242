"""Imported once by the fork server: an application is built here, so that each process of a pool finds all modules
loaded instead of reading them again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from app import create_app
from tests.conftest import make_settings

with tempfile.TemporaryDirectory(prefix="desk-preload-") as folder:
    create_app(make_settings(f"sqlite:///{folder}/none.db", Path(folder)))
