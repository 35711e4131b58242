"""Whether deletions are as they were certified (S8): each certificate by its hash and by the audit log's copy of it,
and that nobody's data came back."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.people.models import Family, Profile, User
from app.domain.retention import erasing
from app.domain.retention.models import ErasureCertificate
from app.domain.search.models import SearchTerm

_certificates = ErasureCertificate.__table__


@dataclass(frozen=True, slots=True)
class Checked:
    """`problems` are sentences; none when all is as certified."""

    certificates: int
    problems: list[str]


def certificate(family_id: int) -> sa.Row | None:
    """The certificate of a family's deletion, or None."""
    query = _certificates.select().where(_certificates.c.family_id == family_id)
    return db.session.execute(query).first()


def check() -> Checked:
    """Look at every certificate and at what is left of its families."""
    problems, count = [], 0
    for row in list(db.session.execute(_certificates.select().order_by(_certificates.c.id))):
        count += 1
        problems += [f"家庭 {row.family_id}：{sentence}" for sentence in _problems(row)]
    return Checked(count, problems)


def _problems(row: sa.Row) -> list[str]:
    found = []
    if erasing.digest(row) != row.hash:
        found.append("证明与其散列不符")
    query = sa.select(AuditEntry.after).where(
        AuditEntry.target_type == "family", AuditEntry.target_id == str(row.family_id),
        AuditEntry.action == "family.erased",
    )  # fmt: skip
    if row.hash.hex() not in [after["certificate"] for after in db.session.scalars(query)]:
        found.append("审计记录里没有这份证明（已归档的月份请查归档文件）")
    left = (
        sa.select(User.id).where(
            User.id.in_(row.facts["users"]),
            sa.or_(~User.openid.startswith("erased-"), User.phone_index.is_not(None),
                   User.nickname.is_not(None), User.real_name.is_not(None)),
        ),
        sa.select(Profile.id).where(
            Profile.id.in_(row.facts["profiles"]), sa.or_(Profile.birthday.is_not(None), Profile.notes.is_not(None))
        ),
        sa.select(Family.id).where(Family.id.in_(row.facts["families"]), Family.erased_at.is_(None)),
        sa.select(SearchTerm.id).where(
            SearchTerm.family_id.in_(row.facts["families"]), ~SearchTerm.name.startswith("已删除家庭"),
            ~SearchTerm.name.startswith("学员"),
        ),
    )  # fmt: skip
    if any(db.session.scalar(query.limit(1)) is not None for query in left):
        found.append("又有了个人信息")
    return found
