"""The product with a booking behind it: `gunicorn --preload tests.drills.warm_web:app`. Drills only.

The master books once before it forks, so that a worker whose life lasts a second has its statements compiled and spends
that second on requests. `DRILL_WARM` names token, class and child; with `BENCH_UNGUARDED` the guards are off, with
`DRILL_FORGETFUL` it does not know what a database with a full disk says.
"""

from __future__ import annotations

import importlib
import json
import os
import uuid

from app.db import db

if os.environ.get("BENCH_UNGUARDED"):
    from bench.unguarded import app
else:
    from app import create_app

    app = create_app()

if os.environ.get("DRILL_FORGETFUL"):
    importlib.import_module("app.db")._NO_ROOM.clear()

_warm = json.loads(os.environ["DRILL_WARM"])
app.test_client().post(
    "/api/v1/bookings",
    json={"course_schedule_id": _warm["schedule"], "profile_id": _warm["profile"]},
    headers={"Authorization": f"Bearer {_warm['token']}", "Idempotency-Key": uuid.uuid4().hex},
)
with app.app_context():
    # A connection that master and workers share would mix up their answers.
    db.session.remove()
    db.engine.dispose()
