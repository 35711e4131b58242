"""Writing messages into the outbox, in the transaction that causes them (N1). Delivery: outbox/delivery.py.

Building blocks only: they decide who is told, by which channel and when, insert the rows, and ask for the doorbell.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import db, require_transaction, wake_after_commit
from app.domain.outbox import cards, recipients, wording, wordings
from app.domain.outbox.kind import Kind
from app.domain.outbox.kinds import CHANGES, KINDS
from app.domain.outbox.models import HELD_BACK, Channel, Notification, Status
from app.domain.outbox.recipients import Recipient
from app.domain.policy import service as policy
from app.prepared import Prepared

_rows = Notification.__table__
_insert = Prepared(_rows.insert())


# ── to parents ──────────────────────────────────────────────────────────────────────────────────────


def tell_family(
    family_id: int,
    type: str,
    payload: dict[str, Any],
    *,
    dedupe: str,
    user_id: int | None = None,
    urgent: bool | None = None,
    cooled: bool | None = None,
) -> list[int]:
    """Write one row per parent who is to be told (N12) and return the ids of those that tell something.

    `payload` holds the facts of the type (kinds.py) as plain JSON: money as "200.00", times as ISO 8601. `dedupe`
    names the event: written twice, it tells once. `user_id` is who acted. `urgent` overrides the type's own
    urgency, for the first message of an arrears, and `cooled` its cooldown, for the later steps of one (96.77).
    Without consent the row is in-app from the start (96.74); one that preference or cooldown holds back is written
    as `suppressed`, so that the desk can see why.
    """
    require_transaction()
    kind = KINDS[type]
    urgent = kind.urgent if urgent is None else urgent
    cooled = not urgent and (kind.cooled if cooled is None else cooled)
    told: list[int] = []
    wanted = []
    for person in recipients.of_family(family_id, kind, user_id):
        if person.wants or urgent:
            wanted.append(person)
        else:
            _suppress(kind, family_id, person, payload, dedupe, "preference", "家长已关闭此类消息")
    if not wanted:
        return told
    keys = [_key(kind.type, dedupe, person.user_id) for person in wanted]
    if cooled:
        guard = _cooldown_key(kind, family_id)
        if guard is None:
            return _suppress_all(kind, family_id, wanted, payload, dedupe)
        # The first parent's row carries the key that all simultaneous triggers try to insert.
        keys = [guard] + [_key(guard, person.user_id) for person in wanted[1:]]
    for person, key in zip(wanted, keys, strict=True):
        row_id = _tell(kind, family_id, person, payload, key, urgent)
        if row_id is not None:
            told.append(row_id)
        elif cooled and not told:
            return _suppress_all(kind, family_id, wanted, payload, dedupe)
    return told


def balance_changed(
    *,
    family_id: int,
    transaction_id: int,
    type: str,
    amount: Decimal,
    balance: Decimal,
    reason: str | None,
    low: bool,
    arrears: bool,
    first_arrears: bool,
) -> None:
    """What the ledger tells of a posting (W22): the change itself, and low balance or arrears, never both.

    `amount` is signed yuan. `first_arrears` is day 0 of an arrears: urgent, whatever was said before (96.72).
    """
    require_transaction()
    now = clock.now().isoformat()
    money_in, money_out = CHANGES.get(type, ("余额增加", "余额减少"))
    remark = f"已欠费¥{-balance:.2f}" if balance < 0 else reason or wording.NOTHING
    dedupe = f"tx{transaction_id}"
    tell_family(
        family_id,
        "balance_changed",
        {
            "change": money_in if amount > 0 else money_out,
            "amount": f"{abs(amount):.2f}",
            "balance": f"{balance:.2f}",
            "time": now,
            "remark": remark,
            "transaction_id": transaction_id,
        },
        dedupe=dedupe,
    )
    if arrears:
        owed = {"owed": f"{-balance:.2f}", "time": now, "transaction_id": transaction_id}
        owed["occasion"] = "first" if first_arrears else "again"
        tell_family(family_id, "arrears", owed, dedupe=dedupe, urgent=True if first_arrears else None)
    elif low:
        facts = {"balance": f"{balance:.2f}", "time": now, "transaction_id": transaction_id}
        tell_family(family_id, "low_balance", facts, dedupe=dedupe)


# ── to staff ────────────────────────────────────────────────────────────────────────────────────────


def tell_staff(
    group: str,
    type: str,
    card: dict[str, Any],
    *,
    dedupe: str,
    queue: str = "default",
) -> int | None:
    """Write a card for a Feishu group (`money`, `waitlist`, `system`); None if this event has its card already.

    `card`: {"title", "colour" (blue, green, orange, red, grey), "lines": [[label, value], …], "text"?, "link"?:
    {"text", "path"}}. Values are plain text: the gateway escapes them. Raises ValueError for a card without form.
    """
    require_transaction()
    cards.check(group, card)
    row_id = add(
        channel=Channel.FEISHU,
        type=type,
        queue=queue,
        recipient=group,
        payload=card,
        dedupe_key=_key("staff", type, dedupe),
        title=wording.clean(card["title"])[:100],
        text=cards.plain_text(card),
    )
    if row_id is not None:
        wake_after_commit(queue, row_id)
    return row_id


# ── the row ─────────────────────────────────────────────────────────────────────────────────────────


def add(*, dedupe_key: str, **columns: Any) -> int | None:
    """Insert one row, pending and due at once unless `columns` say otherwise; None if its key is taken."""
    require_transaction()
    now = clock.now()
    values = {"status": Status.PENDING, "next_attempt_at": now, "created_at": now, "attempts": 0, "queue": "default"}
    values |= columns | {"dedupe_key": dedupe_key}
    try:
        return _insert(values).lastrowid
    except IntegrityError:
        # Both databases undo the one statement and keep the transaction. Any other constraint is a bug of ours.
        if not db.session.scalar(sa.select(sa.exists().where(_rows.c.dedupe_key == dedupe_key))):
            raise
        return None


def add_in_app(
    kind: Kind, *, family_id: int | None, user_id: int, payload: dict, dedupe_key: str, **more
) -> int | None:
    """The in-app form of a message (N8): readable at once, nothing is sent."""
    words = wording.compose_in_app(kind, payload, wordings.of(kind.type))
    return add(
        channel=Channel.IN_APP,
        type=kind.type,
        queue=kind.queue,
        recipient=str(user_id),
        family_id=family_id,
        user_id=user_id,
        payload=payload,
        title=words.title,
        text=words.text,
        page=words.page,
        status=Status.SENT,
        next_attempt_at=None,
        sent_at=clock.now(),
        dedupe_key=dedupe_key,
        **more,
    )


def tell_in_app(
    *, family_id: int, user_id: int, type: str, title: str, text: str, page: str, payload: dict[str, Any], dedupe: str
) -> int | None:
    """Tell one parent in the mini program's messages alone, in words of its own: for what no template of WeChat's fits.
    `type` is the nearest of the message types; no preference and no cooldown holds it back. None if told already."""
    return add(
        channel=Channel.IN_APP,
        type=type,
        recipient=str(user_id),
        family_id=family_id,
        user_id=user_id,
        payload=payload,
        title=title,
        text=text,
        page=page,
        status=Status.SENT,
        next_attempt_at=None,
        sent_at=clock.now(),
        dedupe_key=_key("told", dedupe, user_id),
    )


def send_at(now: datetime, quiet: tuple[time, time] | None, *, urgent: bool) -> datetime:
    """When a message may go: now, or at the end of the quiet hours on the studio's clock (N6)."""
    if urgent or quiet is None:
        return now
    begin, end = quiet
    local = clock.local(now)
    at = local.time()
    within = begin <= at < end if begin < end else at >= begin or at < end
    if not within:
        return now
    morning = local.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0)
    return (morning if at < end else morning + timedelta(days=1)).astimezone(now.tzinfo)


def _tell(kind: Kind, family_id: int, person: Recipient, payload: dict, key: str, urgent: bool) -> int | None:
    if person.remaining <= 0:
        return add_in_app(
            kind,
            family_id=family_id,
            user_id=person.user_id,
            payload=payload,
            dedupe_key=key,
            error_code="no_consent",
            error="家长没有可用的订阅授权，已转为小程序内消息",
        )
    now = clock.now()
    due = send_at(now, policy.get("quiet_hours"), urgent=urgent)
    queue = "urgent" if urgent else kind.queue
    row_id = add(
        channel=Channel.WECHAT,
        type=kind.type,
        queue=queue,
        recipient=person.openid,
        family_id=family_id,
        user_id=person.user_id,
        payload=payload,
        next_attempt_at=due,
        dedupe_key=key,
    )
    if row_id is not None and due <= now:
        wake_after_commit(queue, row_id)
    return row_id


def _cooldown_key(kind: Kind, family_id: int) -> str | None:
    """The key of the next message of this type to this family, or None while the last one is too young.

    The key names the message before it: whoever triggers at the same moment saw the same one, makes the same key,
    and the unique index lets one of them through (I-35). A rolling window, exact without a lock.
    """
    last = db.session.execute(
        sa.select(_rows.c.id, _rows.c.created_at)
        .where(
            _rows.c.family_id == family_id,
            _rows.c.type == kind.type,
            # One that went into the app at the moment of sending was told, and its key is taken: left out, the next
            # key would be the same for ever, and this family would hear of nothing again.
            sa.or_(_rows.c.status != Status.SUPPRESSED, _rows.c.error_code.not_in(HELD_BACK)),
            _rows.c.follows_id.is_(None),
        )
        .order_by(_rows.c.created_at.desc(), _rows.c.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return f"cool:{kind.type}:{family_id}:0"
    if last.created_at > clock.now() - policy.get("balance_message_cooldown"):
        return None
    return f"cool:{kind.type}:{family_id}:{last.id}"


def _suppress_all(kind: Kind, family_id: int, people: list[Recipient], payload: dict, dedupe: str) -> list[int]:
    for person in people:
        _suppress(kind, family_id, person, payload, dedupe, "cooldown", "同类消息刚发过，在冷却时间内不重复发送")
    return []


def _suppress(kind: Kind, family_id: int, person: Recipient, payload: dict, dedupe: str, code: str, why: str) -> None:
    add(
        channel=Channel.WECHAT,
        type=kind.type,
        queue=kind.queue,
        recipient=person.openid,
        family_id=family_id,
        user_id=person.user_id,
        payload=payload,
        status=Status.SUPPRESSED,
        next_attempt_at=None,
        error_code=code,
        error=why,
        dedupe_key=_key("held", kind.type, dedupe, person.user_id),
    )


def _key(*parts: Any) -> str:
    """A dedupe key of at most 128 ASCII characters; what does not fit is kept as its digest."""
    text = ":".join(str(part) for part in parts)
    if text.isascii() and text.isprintable() and len(text) <= 128:
        return text
    return "sha:" + hashlib.sha256(text.encode()).hexdigest()
