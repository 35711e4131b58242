"""Switches per capability (Z15): what a family may do by itself at this moment. Each is a policy figure, so a change is
audited and in force at once in every process.

A switch refuses what begins, never what runs: a payment that was made settles, an offer that was sent can be confirmed,
an approved refund goes out. What parents have a right to (cancelling, leave, answering an offer, reading) and what the
desk does for them has no switch.
"""

from __future__ import annotations

from enum import StrEnum

from app.domain.audit.actor import Actor, ActorType
from app.domain.policy import service as policy
from app.errors import Conflict


class Capability(StrEnum):
    """The policies' names."""

    BOOKING = "open_booking"
    TRIAL_ORDER = "open_trial_order"
    PAYMENT = "open_payment"
    WAITLIST = "open_waitlist"
    OFFERS = "open_offers"
    MAKEUP = "open_makeup"
    WITHDRAWAL = "open_withdrawal"
    QUESTION = "open_question"
    WECHAT_MESSAGE = "open_wechat_message"
    WECHAT_REFUND = "open_wechat_refund"


#: what a phone shows or hides, under its name in the contract
ON_THE_PHONE = {
    "booking": Capability.BOOKING, "trial_order": Capability.TRIAL_ORDER, "payment": Capability.PAYMENT,
    "waitlist": Capability.WAITLIST, "makeup": Capability.MAKEUP, "withdrawal": Capability.WITHDRAWAL,
    "question": Capability.QUESTION,
}  # fmt: skip

_SENTENCES = {
    Capability.BOOKING: "小程序约课暂未对您开放，请联系前台预约",
    Capability.TRIAL_ORDER: "小程序预约体验课暂未对您开放，请联系前台",
    Capability.PAYMENT: "微信支付暂停使用，没有扣款；请稍后再试或联系前台",
    Capability.WAITLIST: "小程序候补暂未对您开放，请联系前台登记候补",
    Capability.MAKEUP: "小程序预约补课暂未对您开放，请联系前台安排",
    Capability.WITHDRAWAL: "小程序申请提现暂未对您开放，请联系前台",
    Capability.QUESTION: "小程序提问暂未对您开放，请直接联系前台",
    Capability.WECHAT_REFUND: "微信原路退款暂停使用，请改为退到余额或现金，或等恢复后再申请",
}


class FeatureOff(Conflict):
    """A capability is switched off for this family: stable for the phone, which shows the sentence."""

    code = "FEATURE_OFF"
    message = "这项功能暂未开放，请联系前台"


def is_open(capability: Capability, family_id: int | None) -> bool:
    """Whether this family may begin it now."""
    return policy.get(capability).is_open(capability, family_id)


def require(capability: Capability, family_id: int | None) -> None:
    """Raises FeatureOff."""
    if not is_open(capability, family_id):
        raise FeatureOff(_SENTENCES.get(capability))


def require_for(actor: Actor, capability: Capability) -> None:
    """As `require`, for what a parent does by phone; the desk does the same for any family."""
    if actor.type == ActorType.PARENT:
        require(capability, actor.family_id)


def of_phone(family_id: int) -> dict[str, bool]:
    """What this family's phones may offer, by one read."""
    found = policy.get_many(*ON_THE_PHONE.values())
    return {name: found[which].is_open(which, family_id) for name, which in ON_THE_PHONE.items()}
