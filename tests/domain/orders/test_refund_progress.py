"""A refund on its way through WeChat, and what people do when WeChat could not (O15, O16, I-26, I-27)."""

from __future__ import annotations

import itertools
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.domain.audit.models import AuditEntry
from app.domain.cases.models import CaseKind, MoneyCase
from app.domain.desk.models import Receipt
from app.domain.desk.queries import receipts_of
from app.domain.orders import offline, refund_hand, refund_progress, refunds
from app.domain.orders.errors import OwnRefund
from app.domain.orders.models import TrialClaim
from app.domain.orders.notifications import Received
from app.domain.orders.refund_progress import Word
from app.domain.outbox.models import Notification
from app.errors import Forbidden, Invalid, InvalidState
from tests.domain.desk.desk import receipt
from tests.domain.orders import steps
from tests.domain.orders.refunds import MINUTE, actions, approved, kept_back, paid_trial, row, say, sent
from tests.factories import make_family
from tests.portal import actor_of, make_staff


@pytest.fixture
def paid(app):
    return paid_trial()


def claim(refund_no: str):
    return refund_progress.claim(refund_no=refund_no, actor=steps.WECHAT)


def fail(refund_no: str, *, code: str = "NOT_ENOUGH", permanent: bool = True) -> None:
    refund_progress.could_not_start(
        refund_no=refund_no, code=code, text="余额不足", permanent=permanent, actor=steps.WECHAT
    )


# ── handing over ────────────────────────────────────────────────────────────────────────────────────


def test_a_try_is_claimed_once_and_under_one_number(paid):
    refund_no = approved(paid)
    assert refund_progress.due() == [refund_no]
    first = claim(refund_no)
    assert (first.refund_no, first.amount, first.total, first.asked_before) == (
        refund_no, Decimal("200.00"), Decimal("200.00"), False,
    )  # fmt: skip
    assert first.transaction_id.startswith("42")
    assert claim(refund_no) is None
    assert refund_progress.due() == []
    assert row(refund_no).status == "processing"
    with clock.travel(by=MINUTE):
        assert refund_progress.due() == [refund_no]
        assert claim(refund_no).asked_before


def test_questions_come_after_longer_and_longer_pauses(paid):
    refund_no = sent(paid)
    pauses = []
    for _ in range(10):
        with clock.travel(to=row(refund_no).next_try_at):
            assert claim(refund_no) is not None
            pauses.append(round((row(refund_no).next_try_at - clock.now()).total_seconds() / 60))
    assert pauses == [1, 1, 1, 1, 1, 5, 10, 20, 30, 30]


def test_two_refunds_of_one_payment_go_a_minute_apart(paid):
    first, second = approved(paid, "50.00"), approved(paid, "60.00")
    assert claim(first) is not None
    assert claim(second) is None
    assert row(second).status == "approved"
    with clock.travel(by=timedelta(seconds=50)):
        assert claim(second) is None
    with clock.travel(by=MINUTE):
        assert claim(second) is not None


def test_another_order_s_refund_need_not_wait(paid):
    other = paid_trial()
    assert claim(approved(paid)) is not None
    assert claim(approved(other)) is not None


# ── WeChat's word ───────────────────────────────────────────────────────────────────────────────────


def test_accepted_is_not_done(paid):
    refund_no = sent(paid)
    assert say(refund_no, "PROCESSING") == "settled"
    assert (row(refund_no).status, row(refund_no).succeeded_at) == ("processing", None)


def test_one_that_takes_a_week_is_looked_at_by_a_person(paid):
    refund_no = sent(paid)
    for days, cases in ((7, []), (8, [CaseKind.REFUND_FAILED]), (9, [CaseKind.REFUND_FAILED])):
        with clock.travel(to=row(refund_no).decided_at + timedelta(days=days)):
            say(refund_no, "PROCESSING")
        assert steps.open_cases() == cases
    say(refund_no, "SUCCESS")
    assert steps.open_cases() == []


def test_a_success_is_told_once_and_gives_the_trial_back(paid):
    refund_no = sent(paid)
    assert say(refund_no, "SUCCESS", account="招商银行信用卡0403") == "settled"
    assert say(refund_no, "SUCCESS") == "repeated"
    done = row(refund_no)
    assert (done.status, done.wechat_refund_id, done.received_account, done.next_try_at) == (
        "succeeded", "50300001", "招商银行信用卡0403", None,
    )  # fmt: skip
    assert actions(refund_no) == ["refund.asked", "refund.approved", "refund.submitted", "refund.succeeded"]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(TrialClaim)) == 0
    for kind in ("refund_result", "staff.refund_done"):
        assert db.session.query(Notification).filter_by(type=kind).count() == 1
    assert kept_back() == Decimal("200.00")


@pytest.mark.parametrize("words", list(itertools.permutations(["PROCESSING", "ABNORMAL", "SUCCESS", "CLOSED"])))
def test_no_order_of_words_moves_it_backwards(paid, words):
    """Whichever comes first of done and closed is the end; what was kept back agrees with it."""
    refund_no, seen = sent(paid), []
    for word in words:
        say(refund_no, word)
        seen.append(row(refund_no).status)
    ranks = [{"processing": 0, "failed": 1, "succeeded": 2, "closed": 2}[status] for status in seen]
    assert ranks == sorted(ranks)
    end = "succeeded" if words.index("SUCCESS") < words.index("CLOSED") else "closed"
    assert seen[-1] == end
    assert kept_back() == Decimal("200.00" if end == "succeeded" else "0.00")
    # Money that WeChat moved after its own CLOSED is for a person.
    assert (CaseKind.UNKNOWN_REFUND in steps.open_cases()) == (end == "closed")


def test_an_abnormal_refund_is_on_the_board_until_it_is_mended(paid):
    refund_no = sent(paid)
    say(refund_no, "ABNORMAL")
    assert (row(refund_no).status, kept_back()) == ("failed", Decimal("200.00"))
    assert steps.open_cases() == [CaseKind.REFUND_ABNORMAL]
    say(refund_no, "PROCESSING")
    assert row(refund_no).status == "failed"
    say(refund_no, "SUCCESS")  # an officer mended it on the merchant platform
    assert (row(refund_no).status, steps.open_cases()) == ("succeeded", [])


def test_what_wechat_closed_may_be_asked_for_again(paid):
    refund_no = sent(paid)
    say(refund_no, "CLOSED")
    assert (row(refund_no).status, kept_back()) == ("closed", Decimal("0.00"))
    assert steps.open_cases() == [CaseKind.REFUND_FAILED]
    assert approved(paid) != refund_no


def later(minutes: int):
    return clock.travel(by=timedelta(minutes=minutes))


def test_what_wechat_closed_leaves_the_board_when_another_refund_brings_the_money_back(paid):
    closed = sent(paid)
    say(closed, "CLOSED")
    with later(5):
        again = sent(paid)
        say(again, "CLOSED")  # a second try for the same money
        assert steps.open_cases() == [CaseKind.REFUND_FAILED] * 2
    with later(10):
        third = sent(paid)
        assert steps.open_cases() == [CaseKind.REFUND_FAILED] * 2
        say(third, "SUCCESS")
        assert steps.open_cases() == []
    settled = db.session.query(MoneyCase).filter_by(subject=closed).one()
    assert (settled.settled_as, settled.settled_by) == ("refunded", None)
    assert third in settled.settle_note
    noted = db.session.query(AuditEntry).filter_by(action="case.settled", target_id=str(settled.id)).one()
    assert noted.after["how"] == "refunded"


def test_a_part_of_what_wechat_closed_is_not_the_whole(paid):
    closed = sent(paid, "120.00")
    say(closed, "CLOSED")
    with later(5):
        say(sent(paid, "100.00"), "SUCCESS")
        assert steps.open_cases() == [CaseKind.REFUND_FAILED]
    with later(10):
        refund_no = refunds.ask(
            order_id=paid.order_id,
            amount=Decimal("20.00"),
            reason="退",
            refund_to="wallet",
            actor=actor_of(paid.finance),
        )
        refunds.approve(refund_no=refund_no, actor=actor_of(paid.manager))
        assert steps.open_cases() == []


def test_two_that_wechat_closed_side_by_side_need_both_their_amounts(paid):
    first, second = sent(paid, "50.00"), approved(paid, "60.00")
    with later(2):
        assert claim(second) is not None
        say(first, "CLOSED")
        say(second, "CLOSED")
    with later(5):
        say(sent(paid, "60.00"), "SUCCESS")
        assert steps.open_cases() == [CaseKind.REFUND_FAILED] * 2
    with later(10):
        say(sent(paid, "50.00"), "SUCCESS")
        assert steps.open_cases() == []


@pytest.mark.parametrize("wrong", [{"amount": Decimal("1.00")}, {"transaction_id": "4299"}])
def test_a_word_that_does_not_fit_changes_nothing(paid, wrong):
    refund_no = sent(paid)
    assert say(refund_no, "SUCCESS", **wrong) == "mismatch"
    assert row(refund_no).status == "processing"
    assert steps.open_cases() == [CaseKind.MISMATCH]


def test_a_word_on_a_refund_that_nobody_knows(paid):
    assert say("f" * 32, "SUCCESS") == "unknown"
    assert say("f" * 32, "SUCCESS") == "unknown"
    assert steps.open_cases() == [CaseKind.UNKNOWN_REFUND]


def test_a_callback_is_stored_with_what_it_did_and_once(paid):
    refund_no = sent(paid)
    received = Received("EV-1", "REFUND.SUCCESS", {"x": 1}, "1", "n", b"{}")
    word = Word(refund_no, "SUCCESS", refund_id="5030", success_at=clock.now())
    said = [refund_progress.note_state(word=word, actor=steps.WECHAT, received=received) for _ in range(3)]
    assert said == ["settled", "repeated", "repeated"]
    assert db.session.execute(sa.text("SELECT number, outcome FROM payment_notifications")).all() == [
        (refund_no, "settled")
    ]


# ── what fails ──────────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_fails_it_and_a_retry_keeps_the_number(paid):
    refund_no = sent(paid)
    fail(refund_no)
    failed = row(refund_no)
    assert (failed.status, failed.error_code, failed.next_try_at) == ("failed", "NOT_ENOUGH", None)
    assert steps.open_cases() == [CaseKind.REFUND_FAILED]
    assert kept_back() == Decimal("200.00")
    refund_hand.retry(refund_no=refund_no, actor=actor_of(paid.finance))
    assert (row(refund_no).status, steps.open_cases()) == ("processing", [])
    assert claim(refund_no).asked_before
    say(refund_no, "SUCCESS")
    assert row(refund_no).status == "succeeded"


def test_a_refusal_that_was_none_goes_on(paid):
    refund_no = sent(paid)
    fail(refund_no)
    say(refund_no, "PROCESSING")
    assert (row(refund_no).status, row(refund_no).next_try_at is not None) == ("processing", True)
    assert steps.open_cases() == []


def test_silence_is_tried_on_and_reaches_the_board(paid):
    refund_no = sent(paid)
    for _ in range(5):
        fail(refund_no, code="timeout", permanent=False)
        assert steps.open_cases() == []
        with clock.travel(to=row(refund_no).next_try_at):
            assert claim(refund_no) is not None
    fail(refund_no, code="timeout", permanent=False)
    assert (row(refund_no).status, steps.open_cases()) == ("processing", [CaseKind.REFUND_FAILED])
    say(refund_no, "SUCCESS")
    assert steps.open_cases() == []


def test_paid_out_by_hand_by_another_than_who_asked(paid):
    refund_no = sent(paid)
    say(refund_no, "ABNORMAL")
    slip = receipt("slip")
    given = {"method": "bank_transfer", "external_no": "2026 1121-0001", "note": "李店长转账给家长"}
    given["receipts_given"] = [slip]
    with pytest.raises(OwnRefund):
        refund_hand.pay_out(refund_no=refund_no, actor=actor_of(paid.finance), **given)
    with pytest.raises(Forbidden):
        refund_hand.pay_out(refund_no=refund_no, actor=actor_of(make_staff("front_desk")), **given)
    for wrong in ({"method": "none"}, {"external_no": ""}, {"note": " "}, {"method": "cash"}, {"receipts_given": []}):
        with pytest.raises(Invalid):
            refund_hand.pay_out(refund_no=refund_no, actor=actor_of(paid.manager), **given | wrong)
    refund_hand.pay_out(refund_no=refund_no, actor=actor_of(paid.manager), **given)
    done = row(refund_no)
    assert (done.status, done.paid_out_method, done.paid_out_no) == ("succeeded", "bank_transfer", "202611210001")
    case = db.session.query(MoneyCase).one()
    assert (case.status, case.settled_as, case.settled_by, case.settle_note) == (
        "settled", "paid_out", paid.manager.id, "李店长转账给家长",
    )  # fmt: skip
    assert actions(refund_no)[-2:] == ["refund.receipt_added", "refund.paid_out"]
    assert receipts_of("refund", done.id)[0].sha256 == slip.sha256
    say(refund_no, "SUCCESS")  # and now WeChat moves it too: twice is a person's business
    assert steps.open_cases() == [CaseKind.UNKNOWN_REFUND]


def test_a_receipt_of_another_payment_proves_nothing(paid):
    refund_no = sent(paid)
    say(refund_no, "ABNORMAL")
    given = {"method": "alipay", "external_no": "8800", "note": "转账"}
    order_id = steps.order(make_family(), steps.trial_session())
    other = offline.ask(order_id=order_id, receipts_given=[receipt("slip")], actor=actor_of(paid.finance), **given)
    with pytest.raises(Invalid, match="以前用过"):
        refund_hand.pay_out(
            refund_no=refund_no, receipts_given=[receipt("slip")], actor=actor_of(paid.manager), **given
        )
    assert row(refund_no).status == "failed"
    assert len(receipts_of("offline", other)) == db.session.query(Receipt).count() == 1


def test_closed_by_hand_with_a_reason_it_gives_the_amount_free(paid):
    refund_no = sent(paid)
    with pytest.raises(InvalidState):
        refund_hand.close(refund_no=refund_no, note="不退了", actor=actor_of(paid.finance))
    fail(refund_no)
    with pytest.raises(Invalid):
        refund_hand.close(refund_no=refund_no, note="", actor=actor_of(paid.finance))
    refund_hand.close(refund_no=refund_no, note="家长改为上课", actor=actor_of(paid.finance))
    assert (row(refund_no).status, kept_back(), steps.open_cases()) == ("closed", Decimal("0.00"), [])
    for act in (refund_hand.retry, refunds.approve):
        with pytest.raises(InvalidState):
            act(refund_no=refund_no, actor=actor_of(paid.manager))
