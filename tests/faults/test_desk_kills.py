"""Kill -9 at the money desk, while an adjustment is approved and while two families become one: all of it is there or
nothing, and asked again it is done once (W12, P3, I-11)."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from app.db import db, execute
from app.domain.audit.actor import Actor
from app.domain.audit.models import AuditEntry
from app.domain.changes import families
from app.domain.desk import approvals
from app.domain.desk.models import WalletAdjustment
from app.domain.ledger import merging, verify
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.people.models import Profile
from app.errors import DomainError
from tests.concurrency import dying
from tests.concurrency.failpoints import Failpoint
from tests.concurrency.processes import pool
from tests.domain.desk.desk import ask
from tests.factories import make_family
from tests.portal import actor_of, make_staff

pytestmark = [pytest.mark.concurrency, pytest.mark.faults]


@dataclass(frozen=True)
class Job:
    """An adjustment that waits for its second person, or two families of which one takes the other in."""

    action: str
    actor: Actor
    family_id: int
    other_id: int
    adjustment_id: int | None


def make_job(action: str) -> Job:
    family, other = make_family(balance="100.00"), make_family(balance="30.00")
    asked = ask(make_staff("finance"), family, "5000").adjustment_id if action == "approve" else None
    job = Job(action, actor_of(make_staff("manager")), family.id, other.id, asked)
    db.session.remove()
    return job


def do(job: Job) -> None:
    if job.action == "approve":
        approvals.approve(adjustment_id=job.adjustment_id, actor=job.actor)
    else:
        families.merge_families(
            from_family_id=job.other_id, into_family_id=job.family_id, reason="同一家", actor=job.actor
        )


def again(job: Job) -> None:
    """As a person would, who hears that it was done."""
    with suppress(DomainError):
        do(job)


def traces(job: Job) -> Counter:
    """What both families have and were told, by name; with whole yuan."""
    db.session.rollback()
    both = [job.family_id, job.other_id]
    rows = sa.select(WalletTransaction.type).join(Wallet).where(Wallet.family_id.in_(both))
    found = Counter()
    for name, query in {
        "row": rows,
        "adjustment": sa.select(WalletAdjustment.status).where(WalletAdjustment.family_id.in_(both)),
        "noted": sa.select(AuditEntry.action).where(AuditEntry.family_id.in_(both)),
        "told": sa.select(Notification.type).where(Notification.family_id.in_(both)),
        "wallet": sa.select(Wallet.status).where(Wallet.family_id.in_(both)),
    }.items():
        found += Counter(f"{name} {value}" for value in db.session.scalars(query))
    found["yuan"] = int(db.session.scalar(sa.select(Wallet.balance).where(Wallet.family_id == job.family_id)))
    mine = sa.select(sa.func.count(Profile.id)).where(Profile.family_id == job.family_id)
    return found + Counter({"students": db.session.scalar(mine)})


def in_a_child(job: Job, point: Failpoint | None, torn: bool = False) -> tuple[int | None, list[str]]:
    return dying.in_a_child(lambda: do(job), point, _tear if torn else None)


def _tear() -> None:
    """The control: a program that commits the people's move before the money's."""
    move = merging.move

    def after_a_commit(*args, **kwargs):
        execute(sa.text("COMMIT"))
        execute(sa.text("BEGIN"))
        return move(*args, **kwargs)

    merging.move = after_a_commit


@pytest.mark.parametrize("action", ["approve", "merge"])
def test_killed_it_is_all_or_none_and_asked_again_it_is_done_once(live_app, action):
    with pool(live_app, 1) as members, live_app.app_context():
        moments = dying.killed_throughout(
            members, in_a_child, lambda: make_job(action), traces, again, lambda _job: None, step=8
        )
        assert moments >= 16
        assert verify.run(full=True).sound


def test_control_a_commit_in_the_middle_moves_the_people_without_their_money(live_app):
    with pool(live_app, 1) as members, live_app.app_context():
        first = make_job("merge")
        none = traces(first)
        _, statements = members.apply(in_a_child, (first, None, True))
        done = traces(first)
        job = make_job("merge")
        torn = Failpoint("before", statements.index("COMMIT") + 3)
        assert members.apply(in_a_child, (job, torn, True))[0] == signal.SIGKILL
        left = traces(job)
        assert left not in (none, done)
        assert (left["students"], left["yuan"]) == (2, 100)
