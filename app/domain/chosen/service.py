"""Doing one thing to several rows that a person chose: asked for once, each row on its own (U15, P9).

Choosing makes a long job, however few the rows: its rows say what became of each, it goes on after a kill, and it can
be cancelled. A row's use case, its audit row and the job's checkpoint are one transaction; a refusal is that row's.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from app import ids
from app.db import RequestKey, db, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, ActorType
from app.domain.chosen.actions import ACTIONS, NOTE_MAX, Action, Given, Row
from app.domain.chosen.rows import Chosen
from app.domain.longjobs import service as longjobs
from app.domain.longjobs.models import LongJob, RowOutcome
from app.domain.people import proof, roles
from app.domain.people.models import Staff, StaffStatus
from app.errors import Conflict, Forbidden, Invalid
from app.text import clean

KIND = "chosen"
#: so few are done while the person waits, and nobody else is told that they were
AT_ONCE = 50


class ChoiceChanged(Conflict):
    """The list is not what the person saw. `data` carries how many rows there are now."""

    code = "CHOICE_CHANGED"
    message = "名单已经变化，没有执行"


@transactional
def ask(
    *, action: str, chosen: Chosen, seen: str, given: Given, actor: Actor, request_key: RequestKey | None = None
) -> int:
    """Ask for an action on these rows; returns the long job's id. `seen` is the digest that the preview showed.

    Raises ChoiceChanged, Invalid, Forbidden, StepUpRequired.
    """
    wanted = ACTIONS[action]
    roles.require(actor, wanted.permission)
    if wanted.proves:
        proof.require_recent(actor)
    if not chosen.rows:
        raise Invalid("没有可以办理的行，请返回列表重新选择")
    if chosen.digest != seen:
        raise ChoiceChanged(data={"count": len(chosen.rows)})
    wanted.check(given)
    title = f"{wanted.title} {len(chosen.rows)} {wanted.unit}"
    params = _params(wanted, chosen, given, actor)
    job_id = longjobs.create(kind=KIND, title=title, total=len(chosen.rows), params=params, actor=actor)
    audit.record(
        actor, "chosen.asked", target_type="long_job", target_id=job_id, reason=given.note or None,
        after={"action": action, "rows": len(chosen.rows), "sums": [f"{one:.2f}" for one in chosen.sums()]},
    )  # fmt: skip
    return job_id


@transactional
def do_row(*, job_id: int, owner: str) -> int:
    """Do the row after the checkpoint; returns how many are left. Raises LeaseLost, and what the row's use case
    refuses, which rolls back this row alone."""
    job = longjobs.hold(job_id, owner)
    action, row = ACTIONS[job.params["action"]], Row(*job.params["rows"][job.checkpoint])
    unsuccessful = action.act(row, _who(job), _given(job.params))
    if unsuccessful is None:
        return longjobs.note(job, RowOutcome.DONE)
    return longjobs.note(job, RowOutcome.REFUSED, code=unsuccessful.code, message=unsuccessful.message)


def _params(action: Action, chosen: Chosen, given: Given, actor: Actor) -> dict[str, Any]:
    return {
        "action": action.name, "rows": [[row.key, row.version] for row in chosen.items],
        "ids": [row.id for row in chosen.rows], "families": [row.family_id for row in chosen.rows],
        "note": clean(given.note, NOTE_MAX), "until": given.until and given.until.isoformat(),
        "ip": actor.ip, "user_agent": actor.user_agent, "quiet": len(chosen.rows) <= AT_ONCE,
    }  # fmt: skip


def _given(params: dict[str, Any]) -> Given:
    return Given(params["note"], params["until"] and date.fromisoformat(params["until"]))


def _who(job: LongJob) -> Actor:
    """Who chose, with the rights of now and from the browser of then. They proved who they are when they chose, and a
    choice is carried out whole however long it takes. Raises Forbidden for an account that was closed since."""
    person = db.session.get(Staff, job.asked_by, populate_existing=True)
    if person.status != StaffStatus.ACTIVE:
        raise Forbidden("提交人的账号已停用，没有执行")
    return Actor(
        type=ActorType.STAFF, id=person.id, name=person.display_name, role=person.role, family_id=person.family_id,
        ip=job.params["ip"], user_agent=job.params["user_agent"], request_id=ids.request_id(), proof_age=0.0,
    )  # fmt: skip
