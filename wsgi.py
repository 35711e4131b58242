"""What gunicorn and flask load: `gunicorn wsgi:app`."""

from app import create_app
from app.config import ConfigError

try:
    app = create_app()
except ConfigError as error:
    # Said in one line: a traceback would bury what is wrong and how to mend it.
    raise SystemExit(f"✗ {error}") from None
