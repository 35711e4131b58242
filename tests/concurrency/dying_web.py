"""The product behind a door that lights a fuse: `gunicorn tests.concurrency.dying_web:app`. Tests only.

A request with the header `X-Failpoint: before 7` kills its worker process there; with `X-Failpoint: none` the answer
says in `X-Statements` how many statements it took. Only those of the use case's transaction count: what a worker says
on a new connection is said by some and not by others.
"""

from __future__ import annotations

import threading

from app import create_app
from app.db import db, in_transaction
from tests.concurrency import failpoints
from tests.concurrency.failpoints import Failpoint, Fuse

_here = threading.local()

app = create_app()
with app.app_context():
    failpoints.watch(lambda: getattr(_here, "fuse", None) if in_transaction() else None, db.engine)

_serve = app.wsgi_app


def _with_fuse(environ, start_response):
    asked = environ.get("HTTP_X_FAILPOINT")
    if asked is None:
        return _serve(environ, start_response)
    fuse = _here.fuse = Fuse(None if asked == "none" else Failpoint.parse(asked))

    def start(status, headers, exc_info=None):
        return start_response(status, [*headers, ("X-Statements", str(len(fuse.statements)))], exc_info)

    try:
        return _serve(environ, start)
    finally:
        _here.fuse = None


app.wsgi_app = _with_fuse
