"""Claiming a message and settling it: the two short transactions around the network call (flows/delivery.py).

A row is claimed under its lock and then held by a lease. A worker that dies between the provider's yes and our
write leaves the lease to run out; the next one sends again, and both the doubt and the repetition are recorded in
the row's history (N2). That window is the only source of duplicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock
from app.db import db, db_now, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import system
from app.domain.outbox import consents, pace, service, wording, wordings
from app.domain.outbox.kinds import KINDS
from app.domain.outbox.models import Channel, Notification, Status
from app.domain.outbox.outcomes import Decision, Outcome, Result, decide
from app.domain.outbox.wording import Words
from app.domain.policy import service as policy

_rows = Notification.__table__

WECHAT = "wechat"
#: the application's clock may run ahead of the database's by this much and a fresh row still counts as due (Z13)
TOLERANCE = timedelta(seconds=2)
_WORKER = system("worker")
INTERRUPTED = Outcome(Result.UNKNOWN, "interrupted", "上一次发送中断，没有留下结果，可能已送达")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is ours to send until the lease ends."""

    id: int
    channel: str
    type: str
    recipient: str
    payload: dict[str, Any]
    attempt: int
    #: words for WeChat; None for a card, whose words are its payload
    words: Words | None


def pace_name(group: str) -> str:
    return f"feishu:{group}"


# ── claiming ────────────────────────────────────────────────────────────────────────────────────────


@transactional
def claim(*, notification_id: int) -> Claimed | None:
    """Take one message to a parent; None when it is not due, taken, done, or has gone in-app, for want of consent
    or because WeChat is switched off for the family."""
    row = _locked(notification_id)
    now = db_now()
    if row is None or not _is_due(row, now) or _postponed(row, now):
        return None
    claimed = _take(row, now)
    if claimed is None:
        return None
    # After an interruption the consent of the interrupted attempt is still spent.
    if row.status == Status.PENDING and (why := consents.spend_or_why(row)) is not None:
        _go_in_app(row, claimed.attempt, *why)
        return None
    return claimed


@transactional
def claim_cards(*, group: str, ids: list[int]) -> list[Claimed]:
    """Take these cards of a group for one call over its bot; none when the pace allows no call now."""
    now = db_now()
    rows = [row for row_id in sorted(ids) if (row := _locked(row_id)) is not None and _is_due(row, now)]
    if not rows or not pace.take(pace_name(group), now):
        return []
    return [taken for row in rows if (taken := _take(row, now))]


def due_cards(group: str, limit: int = 50) -> list[sa.Row]:
    """Cards of a group that wait, oldest first: id and payload."""
    query = (
        sa.select(_rows.c.id, _rows.c.payload)
        .where(_rows.c.channel == Channel.FEISHU, _rows.c.recipient == group, _due(db_now()))
        .order_by(_rows.c.id)
        .limit(limit)
    )
    return list(db.session.execute(query))


def calls_left(group: str) -> int:
    """How many calls the group's bot may take at once now."""
    return pace.calls_left(pace_name(group), db_now())


def groups_waiting() -> list[str]:
    """Groups with cards that are due."""
    query = sa.select(_rows.c.recipient).where(_rows.c.channel == Channel.FEISHU, _due(db_now())).distinct()
    return sorted(db.session.scalars(query))


def due_messages(limit: int, *, older_than: timedelta) -> list[sa.Row]:
    """Messages to parents that have been due for a while, or whose worker died: id, queue, attempts."""
    now = db_now()
    # A fresh row has its doorbell; one that waits for another try has nobody but the sweep.
    unheard = sa.or_(_rows.c.attempts > 0, _rows.c.next_attempt_at <= now - older_than)
    query = (
        sa.select(_rows.c.id, _rows.c.queue, _rows.c.attempts)
        .where(_rows.c.channel == Channel.WECHAT, _due(now), unheard)
        .order_by(_rows.c.next_attempt_at, _rows.c.id)
        .limit(limit)
    )
    return list(db.session.execute(query))


def channel_of(notification_id: int) -> sa.Row | None:
    """channel, recipient and status of a message, without locking it."""
    query = sa.select(_rows.c.channel, _rows.c.recipient, _rows.c.status).where(_rows.c.id == notification_id)
    return db.session.execute(query).first()


def _due(now: datetime):
    waiting = sa.and_(_rows.c.status == Status.PENDING, _rows.c.next_attempt_at <= now)
    abandoned = sa.and_(_rows.c.status == Status.SENDING, _rows.c.lease_until <= now)
    return sa.or_(waiting, abandoned)


def _is_due(row: sa.Row, now: datetime) -> bool:
    if row.status == Status.PENDING:
        return row.next_attempt_at <= now + (TOLERANCE if row.attempts == 0 else timedelta(0))
    return row.status == Status.SENDING and row.lease_until <= now


def _postponed(row: sa.Row, now: datetime) -> bool:
    """Whether WeChat asked for a pause (45009): the message waits for its end without losing a try."""
    until = pace.free_at(WECHAT)
    if until is None or until <= now:
        return False
    _write(row.id, Status.PENDING, next_attempt_at=until)
    return True


def _take(row: sa.Row, now: datetime) -> Claimed | None:
    history, attempt = row.history, row.attempts + 1
    if row.status == Status.SENDING:
        if row.attempts >= policy.get("notification_max_attempts"):
            _settle(row, INTERRUPTED)
            return None
        history = _noted(row, INTERRUPTED)
    lease = now + policy.get("message_lease")
    _write(row.id, Status.SENDING, attempts=attempt, lease_until=lease, history=history)
    words = None
    if row.channel == Channel.WECHAT:
        words = wording.compose(KINDS[row.type], row.payload, wordings.of(row.type))
    return Claimed(row.id, row.channel, row.type, row.recipient, row.payload, attempt, words)


def _go_in_app(row: sa.Row, attempt: int, code: str, sentence: str) -> None:
    """Nothing is sent without consent; the text is in-app at once (96.74)."""
    _write(row.id, Status.SUPPRESSED, attempts=attempt - 1, error_code=code, error=sentence)
    _fall_back(row)


# ── settling ────────────────────────────────────────────────────────────────────────────────────────


@transactional
def settle(*, claimed: Claimed, outcome: Outcome) -> Status | None:
    """Write down how an attempt ended; the new status, or None when another worker has taken the row since."""
    row = _locked(claimed.id)
    if row is None or row.status == Status.SENT:
        return None
    if row.status != Status.SENDING or row.attempts != claimed.attempt:
        # Our lease ran out. A yes counts all the same, so that nobody sends it once more.
        return _settle(row, outcome, claimed.words) if outcome.result == Result.SENT else None
    return _settle(row, outcome, claimed.words)


def _settle(row: sa.Row, outcome: Outcome, words: Words | None = None) -> Status:
    kind = KINDS.get(row.type)
    decision = decide(
        outcome,
        attempt=row.attempts,
        most=policy.get("notification_max_attempts"),
        age=clock.now() - row.created_at,
        repeats_unknown=kind is None or kind.repeats_unknown,
        can_fall_back=row.channel == Channel.WECHAT,
    )
    if decision.status == Status.PENDING:
        _wait(row, outcome, decision)
    else:
        _end(row, outcome, decision, words)
    if row.channel == Channel.WECHAT:
        _settle_consent(row, outcome, decision)
    _pause_channel(row, outcome, decision)
    return decision.status


def _wait(row: sa.Row, outcome: Outcome, decision: Decision) -> None:
    _write(
        row.id,
        Status.PENDING,
        attempts=row.attempts if decision.counts else row.attempts - 1,
        next_attempt_at=db_now() + timedelta(seconds=decision.delay),
        error_code=outcome.code,
        error=outcome.error,
        history=_noted(row, outcome),
    )


def _end(row: sa.Row, outcome: Outcome, decision: Decision, words: Words | None) -> None:
    values: dict[str, Any] = {"history": _noted(row, outcome), "next_attempt_at": None}
    if words is not None:
        values |= {"title": words.title, "text": words.text, "page": words.page}
    if decision.status == Status.SENT:
        values |= {"sent_at": clock.now(), "provider_message_id": outcome.message_id, "error_code": None, "error": None}
    else:
        values |= {"error_code": outcome.code, "error": outcome.error}
    _write(row.id, decision.status, **values)
    audit.record(
        _WORKER,
        f"notification.{decision.status}",
        target_type="notification",
        target_id=row.id,
        family_id=row.family_id,
        old_status=row.status,
        new_status=decision.status,
        request={"channel": row.channel, "type": row.type, "attempt": row.attempts},
        answer={"message_id": outcome.message_id, "code": outcome.code},
        error=outcome.error,
    )
    if decision.falls_back:
        _fall_back(row)
    if decision.status == Status.FAILED:
        _alert(row, outcome)


def _settle_consent(row: sa.Row, outcome: Outcome, decision: Decision) -> None:
    if outcome.no_consent:
        consents.clear(row.user_id, row.type)
    elif decision.gives_back:
        consents.change(row.user_id, row.type, +1)


def _pause_channel(row: sa.Row, outcome: Outcome, decision: Decision) -> None:
    """A provider that asks for a pause gets it from all workers; a Feishu bot that is down is not hammered either."""
    if outcome.result == Result.PAUSED:
        name = WECHAT if row.channel == Channel.WECHAT else pace_name(row.recipient)
        pause = timedelta(seconds=outcome.pause)
    elif row.channel == Channel.FEISHU and outcome.result == Result.TEMPORARY and decision.delay:
        name, pause = pace_name(row.recipient), timedelta(seconds=min(decision.delay, 30))
    else:
        return
    pace.pause(name, db_now() + pause)


def _fall_back(row: sa.Row) -> None:
    service.add_in_app(
        KINDS[row.type],
        family_id=row.family_id,
        user_id=row.user_id,
        payload=row.payload,
        dedupe_key=f"in-app:{row.id}",
        follows_id=row.id,
    )


def _alert(row: sa.Row, outcome: Outcome) -> None:
    """Tell the SYSTEM group of an urgent message that failed (N4), and once a day of a template that is wrong."""
    if outcome.template_wrong:
        title, dedupe = "消息模板有误", f"template:{row.type}:{clock.today()}"
    elif row.queue == "urgent" and not outcome.no_consent and row.type != "staff.message_failed":
        title, dedupe = "紧急消息发送失败", f"failed:{row.id}"
    else:
        return
    kind = KINDS.get(row.type)
    lines = [["类型", kind.title if kind else row.title or row.type], ["原因", outcome.error or outcome.code or ""]]
    if row.family_id is not None:
        lines.append(["家庭", f"编号 {row.family_id}"])
    link = {"text": "查看消息", "path": f"/notices/{row.id}"}
    card = {"title": title, "colour": "red", "lines": lines, "link": link}
    service.tell_staff("system", "staff.message_failed", card, dedupe=dedupe)


# ── the row ─────────────────────────────────────────────────────────────────────────────────────────


def _locked(notification_id: int) -> sa.Row | None:
    """The row, locked: of two workers that want it, the second sees what the first made of it."""
    return db.session.execute(sa.select(_rows).where(_rows.c.id == notification_id).with_for_update()).first()


def _write(row_id: int, status: Status, **values: Any) -> None:
    values = {"lease_until": None} | values | {"status": status}
    db.session.execute(_rows.update().where(_rows.c.id == row_id).values(values))


def _noted(row: sa.Row, outcome: Outcome) -> list[dict[str, Any]]:
    """The row's history with this outcome at its end."""
    entry = {"at": clock.now().isoformat(), "attempt": row.attempts, "result": outcome.result, "code": outcome.code}
    if outcome.error:
        entry["error"] = outcome.error
    return [*(row.history or []), entry]
