"""Days that finance has closed (W25). A row is written once and never changed; triggers say so to everybody."""

from __future__ import annotations

import sqlalchemy as sa

from app.column_types import Ascii, BigId, JSONText, Money, UTCDateTime
from app.db import db


class DayClose(db.Model):
    """What somebody signed for one studio day, as it was shown to them. Nothing is dated before `ends_at` any more."""

    __tablename__ = "day_closes"
    __table_args__ = (sa.UniqueConstraint("day", name="uq_day_closes_day"),)

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    day = sa.Column(sa.Date, nullable=False)
    #: the first moment after the day, in UTC: the triggers of the ledger and of payments compare with it
    ends_at = sa.Column(UTCDateTime, nullable=False, unique=True)
    #: what was signed, as plain data; amounts are texts in yuan
    figures = sa.Column(JSONText, nullable=False)
    #: SHA-256 hex over day, figures, counted cash and note
    digest = sa.Column(Ascii(64), nullable=False)
    #: yuan of cash counted in the drawer for the day's takings
    counted_cash = sa.Column(Money, nullable=False)
    note = sa.Column(sa.String(500), nullable=False)
    closed_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=False)
    closed_at = sa.Column(UTCDateTime, nullable=False)
