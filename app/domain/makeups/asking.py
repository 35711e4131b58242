"""A parent asks the desk to arrange a makeup, and is answered (M11)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import RequestKey, db, db_now, lock_row, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.credits import rules
from app.domain.credits.errors import CreditNotFound, RequestOpen
from app.domain.credits.models import MakeupCredit, MakeupRequest, RequestStatus
from app.domain.makeups import facts
from app.domain.outbox import service as outbox
from app.domain.people import roles
from app.domain.people.models import Family
from app.domain.people.roles import Permission
from app.domain.policy import service as policy
from app.errors import Invalid, InvalidState, NotFound
from app.text import clean

TEXT_LENGTH = 500

_r = MakeupRequest.__table__


@transactional
def ask(*, credit_id: int, text: str, wishes: str | None, actor: Actor, request_key: RequestKey | None = None) -> int:
    """Ask the desk to arrange a makeup; returns the request's id. Staff get a card.

    Raises CreditNotFound for nobody's and for another family's, NoCredit, CreditExpired, RequestOpen, Invalid.
    """
    text = checked_text(text)
    wishes = clean(wishes, TEXT_LENGTH) or None
    credit = lock_row(MakeupCredit, credit_id)
    if credit is None or credit.family_id != actor.family_id:
        raise CreditNotFound
    now = db_now()
    rules.check_usable(credit.status, credit.valid_until, now)
    request = MakeupRequest(
        credit_id=credit_id, family_id=credit.family_id, user_id=actor.id, text=text, wishes=wishes,
        status=RequestStatus.OPEN, asked_at=now,
    )  # fmt: skip
    db.session.add(request)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise RequestOpen from error
    audit.record(
        actor, "makeup.asked", target_type="makeup_request", target_id=request.id, family_id=credit.family_id,
        new_status=RequestStatus.OPEN, after={"credit": credit_id},
    )  # fmt: skip
    _card(request, "家长请安排补课", "blue", "asked")
    return request.id


def checked_text(text: str) -> str:
    """What a parent asks for, without what no honest text contains. Raises Invalid."""
    text = clean(text, TEXT_LENGTH)
    if not text:
        raise Invalid.field("text", "请填写您的要求")
    return text


@transactional
def answer(*, request_id: int, text: str, actor: Actor, request_key: RequestKey | None = None) -> None:
    """Answer a parent; the answer is sent to the family. Raises NotFound, InvalidState, Invalid, Forbidden."""
    roles.require(actor, Permission.MAKEUP_MANAGE)
    text = clean(text, TEXT_LENGTH)
    if not text:
        raise Invalid.field("answer", "请填写答复")
    request = lock_row(MakeupRequest, request_id)
    if request is None:
        raise NotFound("没有这条补课请求")
    if request.status != RequestStatus.OPEN:
        raise InvalidState(f"这条请求{rules.REQUEST_TEXTS[request.status]}")
    request.status, request.answered_at = RequestStatus.ANSWERED, db_now()
    request.answered_by, request.answer = actor.id, text
    db.session.flush()
    audit.record(
        actor, "makeup.answered", target_type="makeup_request", target_id=request_id, family_id=request.family_id,
        old_status=RequestStatus.OPEN, new_status=RequestStatus.ANSWERED, reason=text[:200],
    )  # fmt: skip
    payload = facts.told(request.credit_id) | {"occasion": "answered", "answer": text}
    outbox.tell_family(
        request.family_id, "makeup_credit", payload, dedupe=f"request{request_id}", user_id=request.user_id
    )


def remind_staff() -> int:
    """The periodic job: requests that nobody answered in the policy's time, once each; returns how many."""
    limit = clock.now() - policy.get("makeup_request_reminder")
    query = sa.select(_r.c.id).where(
        _r.c.status == RequestStatus.OPEN, _r.c.asked_at <= limit, _r.c.reminded_at.is_(None)
    )
    ids = list(db.session.scalars(query.order_by(_r.c.asked_at)))
    db.session.rollback()
    return sum(_remind(request_id=request_id) for request_id in ids)


@transactional
def _remind(*, request_id: int) -> bool:
    request = lock_row(MakeupRequest, request_id)
    if request.status != RequestStatus.OPEN or request.reminded_at is not None:
        return False
    request.reminded_at = db_now()
    db.session.flush()
    _card(request, "补课请求还没有答复", "orange", "reminded")
    return True


def _card(request: MakeupRequest, title: str, colour: str, occasion: str) -> None:
    told = facts.told(request.credit_id)
    family = db.session.scalar(sa.select(Family.name).where(Family.id == request.family_id))
    # The parent's own words stay in the portal: a group chat is no place for them (S8).
    outbox.tell_staff(
        "waitlist", f"staff.makeup_{occasion}",
        {"title": title, "colour": colour,
         "lines": [["家庭", family], ["原课程", told["course"]], ["有效期至", told["expires_on"]],
                   ["请求时间", f"{clock.local(request.asked_at):%m月%d日 %H:%M}"]],
         "link": {"text": "打开补课安排", "path": "/makeups?asked=1"}},
        dedupe=f"makeup{request.id}:{occasion}",
    )  # fmt: skip
