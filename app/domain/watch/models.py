"""Alerts and when they burned (Z11), what was answered how fast by the hour (Z14), what is reached outside (U10)."""

from __future__ import annotations

import sqlalchemy as sa

from app.column_types import Ascii, BigId, UTCDateTime
from app.db import db


class Alert(db.Model):
    """One time that a rule's condition held, from `since` until `recovered_at`. One that never lasted long enough to
    be told is deleted again."""

    __tablename__ = "alerts"
    __table_args__ = (
        sa.UniqueConstraint("open_rule", name="uq_alerts_open_rule"),
        sa.Index("ix_alerts_fired_at", "fired_at"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    rule = sa.Column(Ascii(48), nullable=False)
    #: the rule while this goes on, NULL afterwards: of two that begin at once one is refused
    open_rule = sa.Column(Ascii(48), nullable=True)
    #: when the condition was first met
    since = sa.Column(UTCDateTime, nullable=False)
    #: when it had lasted for the rule's time
    fired_at = sa.Column(UTCDateTime, nullable=True)
    #: when a card last spoke of it, and how many did
    told_at = sa.Column(UTCDateTime, nullable=True)
    told = sa.Column(sa.Integer, nullable=False, default=0)
    #: since when the condition does not hold, while it may still come back
    quiet_since = sa.Column(UTCDateTime, nullable=True)
    recovered_at = sa.Column(UTCDateTime, nullable=True)
    #: what was found last, in Chinese
    said = sa.Column(sa.String(500), nullable=False)


class ServiceHour(db.Model):
    """What all processes together did in one hour, by name. Each process adds what it counted since it last did."""

    __tablename__ = "service_hours"

    #: the hour's first moment
    hour = sa.Column(UTCDateTime, primary_key=True)
    #: `http`, `operation`, `callback`
    kind = sa.Column(Ascii(16), primary_key=True)
    #: method and endpoint, the use case, what became of a callback
    name = sa.Column(Ascii(96), primary_key=True)
    total = sa.Column(sa.BigInteger, nullable=False)
    #: those that failed for no rule's sake
    failed = sa.Column(sa.BigInteger, nullable=False)
    #: of all together
    milliseconds = sa.Column(sa.BigInteger, nullable=False)
    #: those answered within so many milliseconds
    within_50 = sa.Column(sa.BigInteger, nullable=False)
    within_100 = sa.Column(sa.BigInteger, nullable=False)
    within_200 = sa.Column(sa.BigInteger, nullable=False)
    within_500 = sa.Column(sa.BigInteger, nullable=False)
    within_1000 = sa.Column(sa.BigInteger, nullable=False)
    within_5000 = sa.Column(sa.BigInteger, nullable=False)


class SlowStatement(db.Model):
    """A statement that took long on one day: its text without any value, however often it was met."""

    __tablename__ = "slow_statements"

    #: of the studio
    day = sa.Column(sa.Date, primary_key=True)
    #: SHA-256 hex of the text
    fingerprint = sa.Column(Ascii(64), primary_key=True)
    statement = sa.Column(sa.Text, nullable=False)
    runs = sa.Column(sa.BigInteger, nullable=False)
    milliseconds = sa.Column(sa.BigInteger, nullable=False)
    longest = sa.Column(sa.BigInteger, nullable=False)
    last_at = sa.Column(UTCDateTime, nullable=False)


class OutsideFinding(db.Model):
    """What `flask doctor` says of certificates, keys and the outside, as last looked at by the job."""

    __tablename__ = "outside_findings"

    position = sa.Column(sa.Integer, primary_key=True, autoincrement=False)
    name = sa.Column(sa.String(64), nullable=False)
    level = sa.Column(Ascii(16), nullable=False)
    text = sa.Column(sa.String(500), nullable=False)
    remedy = sa.Column(sa.String(500), nullable=False)
    #: that a certificate is still good for
    days = sa.Column(sa.Integer, nullable=True)
    checked_at = sa.Column(UTCDateTime, nullable=False)
