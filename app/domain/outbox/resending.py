"""A person sends a message again (N4, N10): a new row that names the old one, audited."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app.db import RequestKey, db, transactional, wake_after_commit
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.outbox import consents, service
from app.domain.outbox.kinds import KINDS
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.errors import Conflict, InvalidState, NotFound

_rows = Notification.__table__
_users = sa.table("users", sa.column("id"), sa.column("openid"))


class NoConsentLeft(Conflict):
    """Sending it would be refused by WeChat, and the parent has the text in-app already."""

    code = "NO_CONSENT"
    message = "家长没有可用的订阅授权，微信不会接收；消息已在小程序内，请电话联系"


@transactional
def resend(*, notification_id: int, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Write the message once more, due at once, and return its id.

    Raises NotFound, InvalidState while it is still under way, NoConsentLeft, Conflict when somebody just did.
    """
    roles.require(actor, Permission.NOTICE_RESEND)
    row = db.session.execute(sa.select(_rows).where(_rows.c.id == notification_id).with_for_update()).first()
    if row is None:
        raise NotFound("没有找到这条消息")
    if row.status in (Status.PENDING, Status.SENDING):
        raise InvalidState("这条消息还在等待发送，不需要重发")
    if row.channel != Channel.FEISHU and consents.of_type(row.user_id, row.type) < 1:
        raise NoConsentLeft
    new_id = service.add(**_copy(row), dedupe_key=f"resend:{row.id}:{_times_sent_again(row.id)}")
    if new_id is None:
        raise Conflict("这条消息刚刚已被重发，请刷新查看")
    audit.record(
        actor,
        "notification.resent",
        target_type="notification",
        target_id=row.id,
        family_id=row.family_id,
        before={"status": row.status, "attempts": row.attempts, "error": row.error},
        after={"notification_id": new_id},
    )
    wake_after_commit(row.queue, new_id)
    return new_id


def _copy(row: sa.Row) -> dict[str, Any]:
    same = {name: getattr(row, name) for name in ("type", "queue", "family_id", "user_id", "payload", "recipient")}
    if row.channel == Channel.FEISHU:
        return same | {"channel": Channel.FEISHU, "title": row.title, "text": row.text, "follows_id": row.id}
    # An in-app row names no openid, and a parent's may have changed.
    openid = db.session.scalar(sa.select(_users.c.openid).where(_users.c.id == row.user_id))
    return same | {"channel": Channel.WECHAT, "recipient": openid, "follows_id": row.id}


def _times_sent_again(notification_id: int) -> int:
    query = sa.select(sa.func.count()).where(
        _rows.c.follows_id == notification_id, _rows.c.channel != Channel.IN_APP
    )  # fmt: skip
    return db.session.scalar(query) or 0


def may_be_resent(row: sa.Row) -> bool:
    """Whether the button makes sense for this message."""
    return row.status not in (Status.PENDING, Status.SENDING) and (row.channel == Channel.FEISHU or row.type in KINDS)
