"""Jobs about messages. Ids in, a flow called, nothing returned: the row says how it went."""

from __future__ import annotations

from app.flows import delivery


def deliver(notification_id: int) -> None:
    """Send one message, if it still waits."""
    delivery.deliver(notification_id)
