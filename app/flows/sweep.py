"""The loop of a job that asks WeChat about many things: bounded in time, and quick to leave a silent WeChat alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from app.domain.orders.errors import PaymentUnavailable
from app.errors import DomainError
from app.gateways.errors import GatewayError

log = logging.getLogger("desk.sweep")

#: failures in a row after which WeChat is left alone until the next run
FAILURES = 3


def each(rows: Iterable[tuple], work: Callable[..., object], *, seconds: float) -> int:
    """Do the work for each row, up to so many seconds; returns how many were dealt with."""
    began, done, failed = time.monotonic(), 0, 0
    for row in rows:
        if time.monotonic() - began > seconds or failed >= FAILURES:
            break
        try:
            work(*row)
            done, failed = done + 1, 0
        except (GatewayError, PaymentUnavailable) as error:
            failed += 1
            log.warning("WeChat Pay did not answer", extra={"row": row[0], "error_code": error.code})
        except DomainError as error:
            # One row's trouble is not the others'.
            log.error("a row could not be dealt with", extra={"row": row[0], "error_code": error.code})
    return done
