"""The table of a refund's states, whole; and what may be asked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.domain.orders import refund_rules
from app.domain.orders.models import RefundStatus
from app.domain.orders.refund_rules import Event
from app.errors import Invalid, InvalidState

S, E = RefundStatus, Event
ALLOWED = {
    (S.REQUESTED, E.APPROVE): S.APPROVED,
    (S.REQUESTED, E.REJECT): S.REJECTED,
    (S.REQUESTED, E.WITHDRAW): S.REJECTED,
    (S.APPROVED, E.START): S.PROCESSING,
    (S.APPROVED, E.SUCCEED): S.SUCCEEDED,
    (S.APPROVED, E.HAND_OVER): S.SUCCEEDED,
    (S.APPROVED, E.FORGO): S.CLOSED,
    (S.PROCESSING, E.SUCCEED): S.SUCCEEDED,
    (S.PROCESSING, E.FAIL): S.FAILED,
    (S.PROCESSING, E.CLOSE): S.CLOSED,
    (S.FAILED, E.SUCCEED): S.SUCCEEDED,
    (S.FAILED, E.FAIL): S.FAILED,
    (S.FAILED, E.CLOSE): S.CLOSED,
    (S.FAILED, E.RETRY): S.PROCESSING,
    (S.FAILED, E.PAY_OUT): S.SUCCEEDED,
    (S.FAILED, E.GIVE_UP): S.CLOSED,
}


@pytest.mark.parametrize("event", list(Event))
@pytest.mark.parametrize("status", list(RefundStatus))
def test_every_move_is_allowed_or_refused(status, event):
    expected = ALLOWED.get((status, event))
    if expected is not None:
        assert refund_rules.next_status(status, event) == expected
        return
    with pytest.raises(InvalidState) as refusal:
        refund_rules.next_status(status, event)
    assert refund_rules.STATUS_TEXTS[status] in refusal.value.message


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.CLOSED, S.REJECTED])
def test_an_end_is_an_end(status):
    assert [event for event in Event if (status, event) in refund_rules.TRANSITIONS] == []


def test_the_last_day_of_wechat_s_year_is_in_time():
    now = clock.now()
    asked = {"offline": False, "parts": 0, "now": now}
    day, late = now - timedelta(days=365), now - timedelta(days=365, seconds=1)
    refund_rules.check_way("original", paid_at=day, **asked)
    with pytest.raises(Invalid):
        refund_rules.check_way("original", paid_at=late, **asked)
    refund_rules.check_way("wallet", paid_at=late, **asked)
    assert refund_rules.ways(offline=False, paid_at=day, now=now) == ("original", "wallet")
    assert refund_rules.ways(offline=False, paid_at=late, now=now) == ("wallet",)


@pytest.mark.parametrize(
    ("offline", "way", "said"), [(True, "original", "线下"), (False, "cash", "微信支付"), (True, "cash", None)]
)
def test_money_goes_back_over_the_counter_only_where_it_came_over_it(offline, way, said):
    asked = {"offline": offline, "paid_at": clock.now(), "parts": 0, "now": clock.now()}
    if said is None:
        refund_rules.check_way(way, **asked)
        assert refund_rules.ways(offline=True, paid_at=clock.now(), now=clock.now()) == ("cash", "wallet")
        return
    with pytest.raises(Invalid) as refusal:
        refund_rules.check_way(way, **asked)
    assert said in refusal.value.errors["refund_to"][0]
