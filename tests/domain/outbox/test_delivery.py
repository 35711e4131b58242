"""Claiming and settling: leases, consents, the in-app list that takes over, alerts, what is recorded."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import clock
from app.db import db, transaction
from app.domain.outbox import delivery, pace, service
from app.domain.outbox.delivery import claim, settle
from app.domain.outbox.models import Status
from app.domain.outbox.outcomes import Outcome, Result
from app.domain.policy.models import PolicyValue
from tests.domain.outbox.families import grant, make_family, remaining, rows

SENT = Outcome(Result.SENT, message_id="msg-1")
REFUSED = Outcome(Result.REFUSED, "40003", "openid 无效")
NO_CONSENT = Outcome(Result.REFUSED, "43101", "没有授权", no_consent=True)
DOWN = Outcome(Result.TEMPORARY, "http_502", "对方服务器出错")
SILENT = Outcome(Result.UNKNOWN, "timeout", "没有应答")
LIMITED = Outcome(Result.PAUSED, "45009", "额度用完", pause=60)
CARD = {"title": "余额调整", "colour": "green", "lines": [["金额", "+¥1.00"]]}


def tell(family: int, kind: str = "withdrawal_result", dedupe: str = "1") -> int:
    with transaction():
        return service.tell_family(family, kind, {"amount": "1.00", "result": "提现成功"}, dedupe=dedupe)[0]


def card(dedupe: str = "1", group: str = "money", queue: str = "default") -> int:
    with transaction():
        return service.tell_staff(group, "staff.test", CARD, dedupe=dedupe, queue=queue)


@pytest.fixture(autouse=True)
def daytime(app):
    """What is not urgent waits for the morning: these tests are about the day, whenever they run."""
    noon = clock.day_bounds(clock.today())[0] + timedelta(hours=12)
    with clock.travel(by=noon - clock.now()):
        yield


@pytest.fixture
def someone(app):
    family, [user] = make_family(consents={"withdrawal_result": 2, "payment_result": 2, "balance_changed": 2})
    return family, user


def one(row_id: int):
    [row] = rows(id=row_id)
    return row


def test_sent_and_recorded(someone):
    family, user = someone
    row_id = tell(family)
    claimed = claim(notification_id=row_id)
    assert claimed.words.data["phrase2"] == "提现成功"
    assert one(row_id).status == Status.SENDING
    assert remaining(user, "withdrawal_result") == 1
    assert settle(claimed=claimed, outcome=SENT) == Status.SENT
    row = one(row_id)
    assert (row.status, row.attempts, row.provider_message_id, row.error) == (Status.SENT, 1, "msg-1", None)
    assert row.title == "提现结果通知"
    assert "提现金额：¥1.00" in row.text
    assert [entry["result"] for entry in row.history] == ["sent"]
    assert remaining(user, "withdrawal_result") == 1
    audited = db.session.execute(db.text("SELECT action, new_status FROM audit_log WHERE target_type='notification'"))
    assert [tuple(r) for r in audited] == [("notification.sent", "sent")]


def test_claimed_once(someone):
    row_id = tell(someone[0])
    assert claim(notification_id=row_id) is not None
    assert claim(notification_id=row_id) is None


@pytest.mark.parametrize("row_id", [0, 987654321])
def test_what_does_not_exist_is_nothing_to_do(app, row_id):
    assert claim(notification_id=row_id) is None
    assert delivery.channel_of(row_id) is None


def test_before_its_time_it_is_not_claimed(someone):
    night = clock.now().replace(hour=15, minute=0)  # 23:00 at the studio
    with clock.travel(to=night):
        row_id = tell(someone[0])
        assert claim(notification_id=row_id) is None
    with clock.travel(to=night + timedelta(hours=9, minutes=1)):
        assert claim(notification_id=row_id) is not None


def test_two_messages_for_one_consent(app):
    family, [user] = make_family(consents={"withdrawal_result": 1})
    first, second = tell(family, dedupe="1"), tell(family, dedupe="2")
    settle(claimed=claim(notification_id=first), outcome=SENT)
    assert claim(notification_id=second) is None
    held = one(second)
    assert (held.status, held.error_code, held.attempts) == (Status.SUPPRESSED, "no_consent", 0)
    [in_app] = rows(follows_id=second)
    assert (in_app.channel, in_app.status, in_app.user_id) == ("in_app", Status.SENT, user)
    assert remaining(user, "withdrawal_result") == 0


def test_refused_for_good_goes_in_app_and_gives_the_consent_back(someone):
    family, user = someone
    row_id = tell(family)
    assert settle(claimed=claim(notification_id=row_id), outcome=REFUSED) == Status.FAILED
    row = one(row_id)
    assert (row.status, row.error_code, row.error) == (Status.FAILED, "40003", "openid 无效")
    [in_app] = rows(follows_id=row_id)
    assert in_app.text.startswith("您申请的提现 ¥1.00")
    assert remaining(user, "withdrawal_result") == 2
    assert claim(notification_id=row_id) is None


def test_43101_empties_the_consent(someone):
    family, user = someone
    row_id = tell(family)
    settle(claimed=claim(notification_id=row_id), outcome=NO_CONSENT)
    assert remaining(user, "withdrawal_result") == 0
    assert len(rows(follows_id=row_id, channel="in_app")) == 1
    assert rows(type="staff.message_failed") == []


def test_retried_with_growing_delays_then_failed(someone):
    family, user = someone
    now = clock.now()
    with clock.travel(to=now):
        row_id = tell(family, "payment_result")
    for attempt, delay in enumerate((2, 5, 15, 60, 300), 1):
        with clock.travel(to=now):
            claimed = claim(notification_id=row_id)
            assert claimed.attempt == attempt
            assert settle(claimed=claimed, outcome=DOWN) == Status.PENDING
            row = one(row_id)
            assert 0.8 * delay <= (row.next_attempt_at - now).total_seconds() <= 1.2 * delay
            assert remaining(user, "payment_result") == 2
        now = row.next_attempt_at
    with clock.travel(to=now):
        assert settle(claimed=claim(notification_id=row_id), outcome=DOWN) == Status.FAILED
    row = one(row_id)
    assert (row.attempts, len(row.history)) == (6, 6)
    assert len(rows(follows_id=row_id, channel="in_app")) == 1
    [alert] = rows(type="staff.message_failed")
    assert (alert.channel, alert.recipient) == ("feishu", "system")
    assert "支付结果通知" in alert.text
    assert "openid" not in alert.text


def test_no_alert_for_what_is_not_urgent(someone):
    row_id = tell(someone[0])
    settle(claimed=claim(notification_id=row_id), outcome=REFUSED)
    assert rows(type="staff.message_failed") == []


def test_a_wrong_template_is_told_once_a_day(someone):
    family, _ = someone
    wrong = Outcome(Result.REFUSED, "47003", "字段不符", template_wrong=True)
    for number in range(2):
        settle(claimed=claim(notification_id=tell(family, dedupe=str(number))), outcome=wrong)
    [alert] = rows(type="staff.message_failed")
    assert alert.title == "消息模板有误"


def test_silence_is_repeated_for_what_matters(someone):
    family, user = someone
    row_id = tell(family, "payment_result")
    assert settle(claimed=claim(notification_id=row_id), outcome=SILENT) == Status.PENDING
    assert one(row_id).history[0]["code"] == "timeout"


def test_silence_is_not_repeated_for_what_parents_may_turn_off(someone):
    family, user = someone
    row_id = tell(family, "balance_changed")
    assert settle(claimed=claim(notification_id=row_id), outcome=SILENT) == Status.FAILED
    assert len(rows(follows_id=row_id, channel="in_app")) == 1
    # WeChat has most likely used it up
    assert remaining(user, "balance_changed") == 1


def test_a_providers_pause_holds_all_messages_and_costs_no_try(someone):
    family, user = someone
    first, second = tell(family, dedupe="1"), tell(family, dedupe="2")
    now = clock.now()
    with clock.travel(to=now):
        assert settle(claimed=claim(notification_id=first), outcome=LIMITED) == Status.PENDING
        assert one(first).attempts == 0
        assert remaining(user, "withdrawal_result") == 2
        assert claim(notification_id=second) is None
        assert one(second).next_attempt_at >= now + timedelta(seconds=59)
        assert one(second).attempts == 0
    with clock.travel(to=now + timedelta(seconds=90)):
        assert claim(notification_id=second) is not None
        assert claim(notification_id=first) is not None


def test_a_dead_worker_is_found_out_and_the_doubt_recorded(someone):
    family, user = someone
    row_id = tell(family)
    assert claim(notification_id=row_id) is not None  # and then it is killed
    later = clock.now() + timedelta(seconds=25)
    with clock.travel(to=later):
        again = claim(notification_id=row_id)
        assert again.attempt == 2
        assert remaining(user, "withdrawal_result") == 1  # spent once for this message
        settle(claimed=again, outcome=SENT)
    row = one(row_id)
    assert [entry["code"] for entry in row.history] == ["interrupted", None]


def test_a_message_that_kills_its_workers_ends_after_the_last_try(someone):
    family, _ = someone
    row_id = tell(family)
    now = clock.now()
    for number in range(6):
        with clock.travel(to=now + timedelta(seconds=25 * number)):
            assert claim(notification_id=row_id).attempt == number + 1
    with clock.travel(to=now + timedelta(seconds=200)):
        assert claim(notification_id=row_id) is None
    assert one(row_id).status == Status.FAILED
    assert len(rows(follows_id=row_id, channel="in_app")) == 1


def test_a_late_yes_counts_and_a_late_no_does_not(someone):
    family, _ = someone
    for dedupe, outcome, status in (("1", SENT, Status.SENT), ("2", DOWN, Status.SENDING)):
        row_id = tell(family, dedupe=dedupe)
        slow = claim(notification_id=row_id)
        with clock.travel(by=timedelta(seconds=25)):
            assert claim(notification_id=row_id) is not None
            settle(claimed=slow, outcome=outcome)
        assert one(row_id).status == status
    assert settle(claimed=slow, outcome=DOWN) is None


def test_a_second_settlement_changes_nothing(someone):
    row_id = tell(someone[0])
    claimed = claim(notification_id=row_id)
    settle(claimed=claimed, outcome=SENT)
    assert settle(claimed=claimed, outcome=REFUSED) is None
    assert one(row_id).status == Status.SENT


def test_the_sweep_leaves_fresh_ones_to_their_doorbell(someone):
    family, _ = someone
    row_id = tell(family)
    soon = timedelta(seconds=1)
    assert delivery.due_messages(10, older_than=soon) == []
    with clock.travel(by=timedelta(seconds=2)):
        assert [(r.id, r.attempts) for r in delivery.due_messages(10, older_than=soon)] == [(row_id, 0)]
        settle(claimed=claim(notification_id=row_id), outcome=DOWN)
    with clock.travel(by=timedelta(seconds=6)):
        assert [(r.id, r.attempts) for r in delivery.due_messages(10, older_than=soon)] == [(row_id, 1)]
        claim(notification_id=row_id)
        assert delivery.due_messages(10, older_than=soon) == []
    with clock.travel(by=timedelta(seconds=60)):
        assert [(r.id, r.attempts) for r in delivery.due_messages(10, older_than=soon)] == [(row_id, 2)]


# ── cards ───────────────────────────────────────────────────────────────────────────────────────────


def test_cards_are_claimed_by_the_pace_of_their_group(app):
    ids = [card(str(n)) for n in range(5)]
    other = card("x", group="system")
    now = clock.now()
    with clock.travel(to=now + timedelta(seconds=1)):
        assert delivery.groups_waiting() == ["money", "system"]
        assert delivery.calls_left("money") == pace.BURST
        for row_id in ids[:3]:
            assert [c.id for c in delivery.claim_cards(group="money", ids=[row_id])] == [row_id]
        assert delivery.calls_left("money") == 0
        assert delivery.claim_cards(group="money", ids=ids[3:]) == []
        assert [c.id for c in delivery.claim_cards(group="system", ids=[other])] == [other]
        assert [row.id for row in delivery.due_cards("money")] == ids[3:]
    with clock.travel(to=now + timedelta(seconds=2)):
        assert [c.id for c in delivery.claim_cards(group="money", ids=ids[3:])] == ids[3:]


def test_cards_that_others_took_cost_no_call(app):
    row_id = card()
    assert len(delivery.claim_cards(group="money", ids=[row_id])) == 1
    left = delivery.calls_left("money")
    assert delivery.claim_cards(group="money", ids=[row_id]) == []
    assert delivery.calls_left("money") == left


def test_a_limited_bot_pauses_and_loses_nothing(app):
    row_id = card()
    [claimed] = delivery.claim_cards(group="money", ids=[row_id])
    assert settle(claimed=claimed, outcome=Outcome(Result.PAUSED, "11232", "限流", pause=15)) == Status.PENDING
    assert one(row_id).attempts == 0
    assert delivery.calls_left("money") == 0
    with clock.travel(by=timedelta(seconds=30)):
        assert delivery.calls_left("money") > 0
        assert [row.id for row in delivery.due_cards("money")] == [row_id]


def test_a_limited_bot_is_waited_for_for_ever(app):
    row_id = card()
    with clock.travel(by=timedelta(days=3)):
        [claimed] = delivery.claim_cards(group="money", ids=[row_id])
        assert settle(claimed=claimed, outcome=Outcome(Result.PAUSED, "11232")) == Status.PENDING


def test_a_bot_that_is_down_is_not_hammered(app):
    row_id, other = card("1"), card("2")
    [claimed] = delivery.claim_cards(group="money", ids=[row_id])
    settle(claimed=claimed, outcome=DOWN)
    assert delivery.calls_left("money") == 0
    assert delivery.claim_cards(group="money", ids=[other]) == []


def test_an_urgent_card_that_fails_is_told_to_the_system_group_and_a_failed_alert_to_nobody(app):
    [claimed] = delivery.claim_cards(group="money", ids=[card(queue="urgent")])
    settle(claimed=claimed, outcome=Outcome(Result.REFUSED, "19021", "签名不符"))
    [alert] = rows(type="staff.message_failed")
    [claimed] = delivery.claim_cards(group="system", ids=[alert.id])
    settle(claimed=claimed, outcome=Outcome(Result.REFUSED, "19021", "签名不符"))
    assert len(rows(type="staff.message_failed")) == 1


def test_pace_keeps_under_feishus_limits(app):
    calls, now = [], clock.now()
    for step in range(0, 130_000, 180):
        moment = now + timedelta(milliseconds=step)
        with clock.travel(to=moment), transaction():
            if pace.take("feishu:test", moment):
                calls.append(step)
    for start in calls:
        assert sum(start <= at < start + 1000 for at in calls) <= 5
        assert sum(start <= at < start + 60_000 for at in calls) <= 90
    assert len(calls) > 170  # and yet most of what is allowed is used


def test_pace_needs_a_transaction(app):
    with pytest.raises(RuntimeError):
        pace.take("feishu:test", clock.now())
    with pytest.raises(RuntimeError):
        pace.pause("feishu:test", clock.now())


def test_the_number_of_tries_is_a_policy(someone):
    db.session.add(PolicyValue(name="notification_max_attempts", value="1", updated_at=clock.now(), updated_by="test"))
    db.session.commit()
    row_id = tell(someone[0])
    assert settle(claimed=claim(notification_id=row_id), outcome=DOWN) == Status.FAILED


def test_a_parent_who_allows_again_is_reached_again(app):
    family, [user] = make_family()
    assert one(tell(family, dedupe="1")).channel == "in_app"
    grant(user, "withdrawal_result", 1)
    assert one(tell(family, dedupe="2")).channel == "wechat"
