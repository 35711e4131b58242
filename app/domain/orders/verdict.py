"""Whether a trial's money should go back, suggested from registration facts alone (O26). A person decides.

Which rules count, in which order, and what each suggests is a policy (policy/verdicts.py).

Whether the child came is not among the facts, and nothing here reads bookings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.orders.models import OrderStatus, PaymentOrder, Refund, RefundStatus
from app.domain.people.models import MemberStatus, User
from app.domain.policy import service as policy
from app.domain.policy import verdicts

_o, _r, _u = PaymentOrder.__table__, Refund.__table__, User.__table__


class Verdict(StrEnum):
    REFUND = "refund"
    KEEP = "keep"
    REVIEW = "review"


VERDICT_TEXTS = {Verdict(code): word for code, word in verdicts.VERDICTS.items()}
STATUS_TEXTS = {MemberStatus.TRIAL: "体验", MemberStatus.FORMAL: "正式", MemberStatus.LEFT: "已离开"}


@dataclass(frozen=True, slots=True)
class VerdictFacts:
    """What the registration says about who ordered. Earlier ones are of the same openid, phone or student."""

    member_status: str | None
    registered_at: datetime
    enrolled_at: datetime | None
    ordered_at: datetime
    earlier_trials: int
    earlier_refunds: int
    #: the policy `refund_registered_within`
    registered_within: timedelta
    #: the policy `refund_verdict_rules`
    rules: verdicts.Table = verdicts.table(verdicts.DEFAULT)

    def shown(self) -> dict[str, str]:
        """Label → text, for the page, and as it is kept with the refund."""
        return {
            "会员状态": STATUS_TEXTS.get(self.member_status or "", "未填"),
            "注册日期": f"{clock.local(self.registered_at):%Y-%m-%d}",
            "报名日期": f"{clock.local(self.enrolled_at):%Y-%m-%d}" if self.enrolled_at else "未报名",
            "下单日期": f"{clock.local(self.ordered_at):%Y-%m-%d}",
            "此前体验课": f"{self.earlier_trials} 次",
            "此前退款": f"{self.earlier_refunds} 次",
        }


@dataclass(frozen=True, slots=True)
class Rule:
    """`sentence` says to people why it hit; `verdict` is what it suggests unless the policy says otherwise."""

    code: str
    verdict: Verdict
    sentence: str
    hits: Callable[[VerdictFacts], bool]


#: in the order in which they are looked at unless the policy says otherwise
RULES: tuple[Rule, ...] = (
    Rule("earlier_refund", Verdict.KEEP, "同一家长、手机号或学员此前已退过体验课费", lambda f: f.earlier_refunds > 0),
    Rule("earlier_trial", Verdict.REVIEW, "同一家长、手机号或学员此前已订过体验课", lambda f: f.earlier_trials > 0),
    Rule(
        "enrolled_before", Verdict.REVIEW, "下单前已报名，不应再订体验课",
        lambda f: f.enrolled_at is not None and f.enrolled_at <= f.ordered_at,
    ),
    Rule(
        "enrolled", Verdict.KEEP, "体验后已报名正式课",
        lambda f: f.enrolled_at is not None or f.member_status == MemberStatus.FORMAL,
    ),
    Rule("left", Verdict.REVIEW, "登记为已离开的会员", lambda f: f.member_status == MemberStatus.LEFT),
    Rule("no_status", Verdict.REVIEW, "没有登记会员状态", lambda f: f.member_status != MemberStatus.TRIAL),
    Rule(
        "registered_long_ago", Verdict.REVIEW, "下单时注册已久",
        lambda f: f.ordered_at - f.registered_at > f.registered_within,
    ),
    Rule("first_trial", Verdict.REFUND, "首次体验，尚未报名正式课", lambda f: True),
)  # fmt: skip


def judge(facts: VerdictFacts) -> Rule:
    """The first rule of the table that hits, with what the table says of it; pure."""
    return next(found for code, said in facts.rules if (found := rule(code, said)).hits(facts))


_BY_CODE = {one.code: one for one in RULES}


def rule(code: str, said: str | None = None) -> Rule | None:
    """A rule by the code that a refund keeps, with the verdict that it was given."""
    found = _BY_CODE.get(code)
    if found is None or said in (None, found.verdict):
        return found
    return replace(found, verdict=Verdict(said))


def verdict_facts(order: PaymentOrder | sa.Row) -> VerdictFacts:
    """What the rules need to know about an order, from accounts and orders only."""
    user = db.session.execute(
        sa.select(_u.c.openid, _u.c.phone_index, _u.c.member_status, _u.c.registered_at, _u.c.enrolled_at).where(
            _u.c.id == order.user_id
        )
    ).one()
    earlier = _earlier_orders(order, user.openid, user.phone_index)
    refunds = sa.select(sa.func.count(sa.distinct(_r.c.order_id))).where(
        _r.c.order_id.in_(earlier), _r.c.status == RefundStatus.SUCCEEDED
    )
    return VerdictFacts(
        member_status=user.member_status, registered_at=user.registered_at, enrolled_at=user.enrolled_at,
        ordered_at=order.created_at, earlier_trials=len(earlier),
        earlier_refunds=db.session.scalar(refunds) if earlier else 0,
        registered_within=policy.get("refund_registered_within"), rules=policy.get("refund_verdict_rules"),
    )  # fmt: skip


def _earlier_orders(order: PaymentOrder | sa.Row, openid: str, phone_index: str | None) -> list[int]:
    same = [_u.c.openid == openid, _o.c.profile_id == order.profile_id]
    if phone_index:
        same.append(_u.c.phone_index == phone_index)
    query = (
        sa.select(_o.c.id)
        .select_from(_o.join(_u, _u.c.id == _o.c.user_id))
        .where(sa.or_(*same), _o.c.status == OrderStatus.PAID, _o.c.id < order.id)
    )
    return list(db.session.scalars(query))
