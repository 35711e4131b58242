"""The extension objects, nothing else; `create_app` binds them."""

from __future__ import annotations

from flask_htmx import HTMX
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_wtf.csrf import CSRFProtect

migrate = Migrate()
login = LoginManager()
csrf = CSRFProtect()
htmx = HTMX()
