"""`/metrics`, for Prometheus (Z11); each name is explained in docs/operations/metrics.md.

What happens in a process is counted there (app/counters.py). What the database knows is read when somebody scrapes, so
that it is right whichever process answers. Under gunicorn the counters of all worker processes are added up through
PROMETHEUS_MULTIPROC_DIR, which gunicorn.conf.py sets.
"""

from __future__ import annotations

import hmac
import os

from flask import Blueprint, Flask, Response, abort, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app import config, counters, metrics_known

bp = Blueprint("metrics", __name__)

_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


def init_app(app: Flask) -> None:
    app.register_blueprint(bp)
    counters.init_app(app)


@bp.get("/metrics")
def metrics():
    """Only for this machine itself, or with `Authorization: Bearer DESK_METRICS_TOKEN`; else 404."""
    if not _allowed():
        abort(404)
    return Response(_everything(), mimetype=None, content_type=CONTENT_TYPE_LATEST)


def _allowed() -> bool:
    settings = config.current()
    offered = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if settings.metrics_token and hmac.compare_digest(offered.encode(), settings.metrics_token.encode()):
        return True
    # A proxy on this machine makes everybody look local: then the token is the only way.
    forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip"))
    return request.remote_addr in _LOOPBACK and not forwarded


def _everything() -> bytes:
    counted = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)
    known = CollectorRegistry(auto_describe=False)
    known.register(metrics_known.Known())
    return generate_latest(counted) + generate_latest(known)
