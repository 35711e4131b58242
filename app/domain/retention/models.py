"""The proof that a family's personal data was deleted (S8)."""

from __future__ import annotations

import sqlalchemy as sa

from app.column_types import Ascii, BigId, Digest, JSONText, UTCDateTime
from app.db import db


class ErasureCertificate(db.Model):
    """Who asked, who approved, what went, when. Never changed, never deleted; it names nobody but staff, by number."""

    __tablename__ = "erasure_certificates"

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False, unique=True)
    #: `asked` by a parent, or `quiet` for as long as the policy says
    cause = sa.Column(Ascii(16), nullable=False)
    request_id = sa.Column(sa.BigInteger, sa.ForeignKey("change_requests.id"), nullable=True)
    asked_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    approved_by = sa.Column(sa.BigInteger, sa.ForeignKey("staff.id"), nullable=True)
    #: numbers of the families, parents and students, and how many rows of each table were erased
    facts = sa.Column(JSONText, nullable=False)
    erased_at = sa.Column(UTCDateTime, nullable=False)
    #: SHA-256 over all of the above; the audit log has it too, under its seals
    hash = sa.Column(Digest(), nullable=False)
