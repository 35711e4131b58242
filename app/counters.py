"""What happens in this process, counted for Prometheus (Z11). What they grew by also goes to the hours that the
service levels are reckoned from (app/tally.py)."""

from __future__ import annotations

import functools
import time

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from app import db as database

HTTP = Histogram(
    "desk_http_request_seconds",
    "Seconds from the first byte of a request to its answer",
    ["method", "endpoint", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
OPERATIONS = Counter(
    "desk_operations",
    "Use cases by name and result: committed, refused, retried, exhausted, unknown",
    ["use_case", "result"],
)
CALLBACKS = Counter(
    "desk_callbacks",
    "Callbacks of WeChat Pay by what became of them; refused ones do not verify",
    ["outcome"],
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def init_app(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_observe)
    database.metrics_hook = _count


def callback(outcome: str) -> None:
    """Count one callback: settled, repeated, mismatch, unknown, ignored, refused."""
    CALLBACKS.labels(outcome=outcome).inc()


def _count(result: str, use_case: str) -> None:
    OPERATIONS.labels(use_case=use_case, result=result).inc()


def _begin() -> None:
    g.measured_from = time.perf_counter()


def _observe(response: Response) -> Response:
    began = g.pop("measured_from", None)
    if began is not None:
        # The endpoint, never the path: strangers may invent as many paths as they like.
        _seconds(request.method, request.endpoint, response.status_code // 100).observe(time.perf_counter() - began)
    return response


# Found once: prometheus_client would check and join the labels on each request.
@functools.lru_cache(maxsize=4096)
def _seconds(method: str, endpoint: str | None, hundred: int) -> Histogram:
    return HTTP.labels(
        method=method if method in METHODS else "other", endpoint=endpoint or "none", status=f"{hundred}xx"
    )
