"""A round of offers: from the commit that frees a seat to the provider's last answer, by real processes (Q6)."""

from __future__ import annotations

import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import Actor, ActorType
from app.domain.bookings import cancel, place
from app.domain.offers import join
from app.domain.outbox.models import MessageConsent, Notification
from app.domain.people.models import User
from app.domain.people.roles import Role
from bench import messages
from bench.context import Context, Row
from bench.messages import DELAY, ROUND
from bench.parents import make_parents, make_sessions
from sandbox.testing import running_sandbox

TITLE = "Waitlist"
#: who adds beyond a queue's capacity
DESK = Actor(type=ActorType.STAFF, id=None, name="前台", role=Role.FRONT_DESK)


def run(context: Context) -> list[Row]:
    with running_sandbox() as sandbox, messages.processes(context, sandbox):
        [schedule_id] = make_sessions(1, capacity=1, price="10.00")
        [holder, *waiting] = make_parents(ROUND + 1, balance="100.00")
        actor = Actor(type=ActorType.PARENT, id=holder.user_id, name="家长", family_id=holder.family_id)
        booking = place.book(schedule_id=schedule_id, profile_id=holder.profile_ids[0], actor=actor)
        for parent in waiting:
            join.join(schedule_id=schedule_id, profile_id=parent.profile_ids[0], actor=DESK, reason="测量")
        _consents(sandbox, [parent.user_id for parent in waiting])
        sandbox.set_fault("wechat", slow=DELAY)
        cancel.cancel(booking_id=booking.booking_id, actor=actor)
        freed = clock.now()
        messages.await_sent(ROUND, 180, "waitlist_offer")
        offered = sa.select(Notification.sent_at).where(Notification.type == "waitlist_offer")
        taken = sorted((moment - freed).total_seconds() for moment in db.session.scalars(offered))
        db.session.rollback()
    return [messages.whole_round(f"a seat freed, {ROUND} wait: the last one told", taken)]


def _consents(sandbox, user_ids: list[int]) -> None:
    with transaction():
        for user_id, openid in db.session.execute(sa.select(User.id, User.openid).where(User.id.in_(user_ids))):
            db.session.add(MessageConsent(user_id=user_id, type="waitlist_offer", remaining=9, updated_at=clock.now()))
            sandbox.consent(openid, "waitlist_offer", 9)
