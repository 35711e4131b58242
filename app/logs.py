"""One log line per event, to stderr: JSON for machines, plain for the terminal of `make run`.

Every line carries the request id. Secrets and what identifies people never get into a line (S7, S8): fields with
telling names are starred out, and so are phone numbers, tokens and keys inside any text.
"""

from __future__ import annotations

import functools
import json
import logging
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any

import structlog
from flask import Flask, g, request
from structlog.typing import EventDict

from app import ids
from app.config import Settings

access = logging.getLogger("desk.access")

_STARS = "***"
_SECRET_FIELD = re.compile(
    r"pass(word|wd)?$|secret|token|authorization|cookie|session_?key|api_?key|private|openid|unionid|phone|birthday"
    r"|totp|recovery|js_?code|encrypted",
    re.IGNORECASE,
)
_PHONE = re.compile(r"(?<!\d)(1[3-9]\d)\d{4}(\d{4})(?!\d)")
_IN_TEXT = re.compile(
    r"((?:access_token|refresh_token|secret|password|sign|js_code|openid|token|Bearer|appsecret)"
    r"[\"']?\s*[=: ]\s*[\"']?)[^\s&\"',;]{6,}",
    re.IGNORECASE,
)
_ACCESS_FIELDS = ("ms", "endpoint", "ip", "bytes")
#: made here, and read by machines: nothing in them is a person's
_OURS = frozenset({"timestamp", "level", "logger", "request_id", "endpoint"})
_IN_ADDRESS = re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+@")
#: what probes ask every few seconds: at INFO they would bury the rest
_QUIET = frozenset({"static", "health.healthz", "health.readyz", "metrics.metrics"})


def init_app(app: Flask) -> None:
    settings: Settings = app.extensions["desk.settings"]
    if not settings.testing:
        install(json_lines=settings.log_format == "json", level=settings.log_level)
    app.before_request(lambda: _begin(trust=settings.trusted_proxies > 0))
    app.after_request(_end)


def install(*, json_lines: bool, level: str = "INFO") -> None:
    """Send every logger's lines to stderr in our form; calling it again replaces, never doubles."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(json_lines=json_lines))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Flask gives its logger a handler of its own when it finds none; libraries below tell more than we want.
    logging.getLogger("app").handlers.clear()
    for name in ("urllib3", "alembic", "rq", "PIL", "werkzeug"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def formatter(*, json_lines: bool) -> logging.Formatter:
    """The chain from a log record to its line."""
    processors: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
    ]
    if json_lines:
        processors.append(structlog.processors.JSONRenderer(serializer=_to_json))
    else:
        processors.append(_plain)
    return _Formatter(
        processors=processors,
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_request_id,
        ],
    )


_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _to_json(event: EventDict, **_defaults: Any) -> str:
    # json.dumps with options makes an encoder for each line.
    return _encode(event)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """The access line, one a request and always of the same fields, goes straight to the end of the chain: passing
    through all of it would cost half as much as reading a balance."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name != access.name or record.exc_info:
            return super().format(record)
        # Of these only the path is a stranger's; everything else was made or measured here.
        event = {
            "event": _redacted(record.getMessage()),
            "level": record.levelname.lower(),
            "logger": record.name,
            **{name: getattr(record, name, None) for name in _ACCESS_FIELDS},
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
        }
        return self.processors[-1](None, "info", _add_request_id(None, "info", event))


# ── redaction ───────────────────────────────────────────────────────────────────────────────────────


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Star out secrets and phone numbers, by the field's name and inside texts, at any depth."""
    return {name: value if name in _OURS else _clean(name, value) for name, value in event.items()}


def redact_text(text: str) -> str:
    """The same for a text that goes elsewhere: an error kept with a message, a card."""
    text = _PHONE.sub(r"\1****\2", text)
    text = _IN_ADDRESS.sub(rf"\1{_STARS}@", text)
    return _IN_TEXT.sub(rf"\1{_STARS}", text)


_redacted = functools.lru_cache(maxsize=1024)(redact_text)


@functools.lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_FIELD.search(name) is not None


def _clean(name: str, value: Any) -> Any:
    if _is_secret(name) and not isinstance(value, bool | None):
        return _STARS
    if isinstance(value, str):
        # One event is one line, whatever a stranger put into it.
        return redact_text(value)
    if isinstance(value, dict):
        return {key: _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", inner) for inner in value]
    return value


def _add_request_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    request_id = ids.request_id()
    if request_id != "-":
        event["request_id"] = request_id
    return event


_SHOWN_FIRST = ("timestamp", "level", "logger", "event", "exception", "request_id")


def _plain(_logger: Any, _method: str, event: EventDict) -> str:
    """For the terminal: time, level where it matters, words, then the rest as key=value."""
    level = str(event.get("level", "info"))
    head = f"{str(event.get('timestamp', ''))[11:19]} {'' if level == 'info' else level.upper() + ' '}"
    more = " ".join(f"{k}={v!s}" for k, v in event.items() if k not in _SHOWN_FIRST)
    line = f"{head}{event.get('logger', '')}: {event.get('event', '')}" + (f"  {more}" if more else "")
    line = line.replace("\r", "\\r").replace("\n", "\\n").replace("\x1b", "\\x1b")
    return f"{line}\n{event['exception']}" if event.get("exception") else line


# ── requests ────────────────────────────────────────────────────────────────────────────────────────


def _begin(*, trust: bool) -> None:
    # A stranger's id is taken only from our own proxy: else anyone could mix their lines into another's.
    ids.set_request_id(request.headers.get("X-Request-Id") if trust else None)
    g.began = time.perf_counter()


def _end(response):
    response.headers["X-Request-Id"] = ids.request_id()
    began = g.pop("began", None)
    took = None if began is None else round((time.perf_counter() - began) * 1000, 1)
    level = logging.DEBUG if request.endpoint in _QUIET and response.status_code < 400 else logging.INFO
    # The path without its query: what people search for has no place in a log.
    if access.isEnabledFor(level):
        # Handled by hand: `access.log` would walk the stack to name this line, which nobody shows.
        told = (request.method, request.path[:200], response.status_code)
        more = {"ms": took, "endpoint": request.endpoint, "ip": request.remote_addr, "bytes": response.content_length}
        access.handle(access.makeRecord(access.name, level, __file__, 0, "%s %s %s", told, None, extra=more))
    return response
