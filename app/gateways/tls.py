"""Whether a host can be reached, and how long its certificate is good for."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from urllib.parse import urlsplit

from app.guards import refuse_in_transaction

_SECONDS = 5.0


def reach(url: str) -> int | None:
    """Connect to the host of an address; whole days until its certificate ends, None for one without TLS.

    Raises OSError when it can't be reached or its certificate is not trusted.
    """
    refuse_in_transaction("looking at a certificate")
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    with socket.create_connection((host, port), timeout=_SECONDS) as plain:
        if parts.scheme != "https":
            return None
        with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure:
            return days_left(secure.getpeercert() or {}, datetime.now(UTC))


def days_left(certificate: dict, now: datetime) -> int:
    """Whole days until a certificate ends; negative once it has."""
    return (datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC) - now).days
