"""Reading a JSON body that may be anything."""

from __future__ import annotations

import json
from typing import Any


def json_object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object in `raw`, or None if there is none that can also be written again as UTF-8.

    Half of a surrogate pair can be written in JSON and read by Python, but no page could show it afterwards.
    """
    try:
        body = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
