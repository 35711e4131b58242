"""The prefix index behind the search field (U2)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from app.column_types import Ascii, BigId
from app.db import db

# Prefixes are compared as code points: a range scan on the index, the same on both databases.
_Term = sa.String(96).with_variant(mysql.VARCHAR(96, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


class SearchTerm(db.Model):
    """One way to write one name (or number) of a family; looked up by prefix, never scanned."""

    __tablename__ = "search_terms"
    __table_args__ = (
        sa.Index("ix_search_terms_term", "term", "family_id"),
        sa.Index("ix_search_terms_owner", "owner_type", "owner_id"),
    )

    id = sa.Column(BigId(), primary_key=True, autoincrement=True)
    #: lower-cased name, full pinyin, or initials
    term = sa.Column(_Term, nullable=False)
    #: the name that this term was made from: mixed input such as 张xm is checked against it
    name = sa.Column(sa.String(64), nullable=False)
    #: `family`, `user`, `profile`
    owner_type = sa.Column(Ascii(16), nullable=False)
    owner_id = sa.Column(sa.BigInteger, nullable=False)
    family_id = sa.Column(sa.BigInteger, sa.ForeignKey("families.id"), nullable=False, index=True)
