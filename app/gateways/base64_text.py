"""Base64 as headers and JSON carry it."""

from __future__ import annotations

import base64
import binascii


def decode(text: str) -> bytes | None:
    """The bytes, or None for what is no Base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
