"""What is to be said later (N1), who still may be told by WeChat (Q14), and who does not want to be (N6)."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from app.column_types import Ascii, BigId, JSONText, UTCDateTime
from app.db import db


class Channel(StrEnum):
    WECHAT = "wechat"
    FEISHU = "feishu"
    IN_APP = "in_app"


class Status(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


#: why a message was written and held back, told to nobody; any other `suppressed` one went into the app instead
HELD_BACK = ("preference", "cooldown")


class Notification(db.Model):
    """The outbox. The row is the only truth about a message; RQ only carries its id."""

    __tablename__ = "notifications"
    __table_args__ = (
        # the sweep: what is due
        sa.Index("ix_notifications_due", "status", "next_attempt_at"),
        sa.Index("ix_notifications_family", "family_id", "id"),
        sa.Index("ix_notifications_user", "user_id", "channel", "id"),
        # cooldown: the last of this type to this family
        sa.Index("ix_notifications_cooldown", "family_id", "type", "created_at"),
        sa.Index("ix_notifications_type", "type", "created_at"),
        sa.Index("ix_notifications_created_at", "created_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    channel = sa.Column(Ascii(16), nullable=False)
    #: one of 96.72, or a staff card's type such as `staff.adjustment_completed`
    type = sa.Column(Ascii(48), nullable=False)
    #: `urgent`, `default`, `bulk` (N3)
    queue = sa.Column(Ascii(16), nullable=False, default="default")
    #: an openid, or the Feishu group's name
    recipient = sa.Column(Ascii(64), nullable=False)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=True)
    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), nullable=True)
    #: what the words are made of; plain JSON, no secrets
    payload = sa.Column(JSONText, nullable=False)
    #: the words as they were sent, for the notification centre and the in-app list
    title = sa.Column(sa.String(100), nullable=True)
    text = sa.Column(sa.Text, nullable=True)
    page = sa.Column(sa.String(255), nullable=True)
    #: one message per key, whoever writes it twice
    dedupe_key = sa.Column(Ascii(128), nullable=False, unique=True)
    status = sa.Column(Ascii(16), nullable=False, default=Status.PENDING)
    attempts = sa.Column(sa.Integer, nullable=False, default=0)
    next_attempt_at = sa.Column(UTCDateTime, nullable=True)
    #: until when the worker that claimed it may be believed alive
    lease_until = sa.Column(UTCDateTime, nullable=True)
    provider_message_id = sa.Column(sa.String(64), nullable=True)
    error_code = sa.Column(Ascii(32), nullable=True)
    error = sa.Column(sa.String(500), nullable=True)
    #: one entry per attempt: {at, code, error}; the doubtful ones too (N2)
    history = sa.Column(JSONText, nullable=True)
    #: the message that took over where this one could not be delivered (N8), or that a person sent again
    follows_id = sa.Column(sa.BigInteger, sa.ForeignKey("notifications.id"), nullable=True)
    created_at = sa.Column(UTCDateTime, nullable=False)
    sent_at = sa.Column(UTCDateTime, nullable=True)
    read_at = sa.Column(UTCDateTime, nullable=True)


class MessageConsent(db.Model):
    """How many messages of a type this parent still allows: +1 a tap, −1 a message, 0 after 43101 (Q14)."""

    __tablename__ = "message_consents"
    __table_args__ = (sa.CheckConstraint("remaining >= 0", name="remaining"),)

    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), primary_key=True)
    type = sa.Column(Ascii(48), primary_key=True)
    remaining = sa.Column(sa.Integer, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)


class NotificationPreference(db.Model):
    """A switchable type that this parent turned off or on again (96.76); no row means on."""

    __tablename__ = "notification_preferences"

    user_id = sa.Column(sa.BigInteger, sa.ForeignKey("users.id"), primary_key=True)
    type = sa.Column(Ascii(48), primary_key=True)
    enabled = sa.Column(sa.Boolean, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)


class TemplateWording(db.Model):
    """A manager's wording for one message type, within its fixed fields (N13); no row means the built-in words."""

    __tablename__ = "template_wordings"

    type = sa.Column(Ascii(48), primary_key=True)
    #: field name → wording with the placeholders that the type allows
    wording = sa.Column(JSONText, nullable=False)
    updated_at = sa.Column(UTCDateTime, nullable=False)
    updated_by = sa.Column(sa.String(64), nullable=False)


class ChannelPace(db.Model):
    """When the next call over a channel may be made: our own pace for a Feishu bot, or a provider's pause (N4, N9).

    In the database, so that all workers keep one pace and Redis may be emptied.
    """

    __tablename__ = "channel_paces"

    #: `wechat`, `feishu:money`
    name = sa.Column(Ascii(32), primary_key=True)
    free_at = sa.Column(UTCDateTime, nullable=False)


class JobRun(db.Model):
    """When each periodic job last ran, and who holds it now: only one scheduler acts (Z5)."""

    __tablename__ = "job_runs"

    name = sa.Column(Ascii(48), primary_key=True)
    last_started_at = sa.Column(UTCDateTime, nullable=True)
    last_finished_at = sa.Column(UTCDateTime, nullable=True)
    last_success_at = sa.Column(UTCDateTime, nullable=True)
    last_result = sa.Column(sa.String(255), nullable=True)
    last_error = sa.Column(sa.String(500), nullable=True)
    held_by = sa.Column(Ascii(64), nullable=True)
    held_until = sa.Column(UTCDateTime, nullable=True)
