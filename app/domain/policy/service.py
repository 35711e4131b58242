"""Reading policy figures. Changing them: policy/changes.py."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app.db import db, transaction_memo
from app.domain.policy.models import PolicyValue
from app.domain.policy.registry import POLICIES
from app.prepared import Prepared

_rows = sa.select(PolicyValue.__table__.c.name, PolicyValue.__table__.c.value)
_prepared = Prepared(_rows)


def get(name: str) -> Any:
    """The typed value in force now. Read from the database at most once per transaction: a change is effective
    at once, without a restart (R9). Raises KeyError for an unknown name."""
    policy = POLICIES[name]
    return policy.parse(_texts().get(name, policy.default))


def get_many(*names: str) -> dict[str, Any]:
    """Several typed values by one read."""
    texts = _texts()
    return {name: POLICIES[name].parse(texts.get(name, POLICIES[name].default)) for name in names}


def text(name: str) -> str:
    """The value in force now, as it is written."""
    return _texts().get(name, POLICIES[name].default)


def _texts() -> dict[str, str]:
    memo = transaction_memo()
    if memo is None:
        return dict(db.session.execute(_rows).all())
    if "policies" not in memo:
        memo["policies"] = dict(_prepared({}).rows)
    return memo["policies"]
