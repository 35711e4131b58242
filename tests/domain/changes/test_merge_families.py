"""Merging two families: everybody and everything moves, no fen is lost, and later money finds its way (P3, P11)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import RequestKey, db, execute, transaction
from app.domain.audit.models import AuditEntry
from app.domain.bookings import cancel, late, leave, place
from app.domain.bookings.models import Booking
from app.domain.changes import families, two_families
from app.domain.changes.errors import FamilyMerged, OpenItems
from app.domain.credits.models import MakeupCredit
from app.domain.desk import undo
from app.domain.desk.errors import BalanceMoved, OwnFamily
from app.domain.ledger import control, merging, queries, verify
from app.domain.ledger import service as ledger
from app.domain.ledger.errors import BalanceOutOfRange
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.outbox.models import Notification
from app.domain.people.models import Family, Profile, Staff, User
from app.domain.policy import changes, service, switches
from app.domain.policy.models import PolicyValue
from app.domain.policy.switches import Capability
from app.domain.search import queries as search
from app.errors import Forbidden, Invalid, NotFound, Replayed, StepUpRequired
from tests.domain.desk import desk
from tests.factories import make_family, make_session, parent_actor
from tests.portal import actor_of, make_staff

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def finance(app):
    return actor_of(make_staff("finance"))


def merge(source, target, actor, **more):
    return families.merge_families(
        from_family_id=source.id, into_family_id=target.id, actor=actor, **({"reason": "父母各开了一户"} | more)
    )


def wallet_of(family) -> Wallet:
    db.session.rollback()
    return db.session.get(Wallet, family.wallet_id, populate_existing=True)


def balances(*made) -> list[Decimal]:
    return [wallet_of(family).balance for family in made]


def book(family, starts_in=timedelta(days=2)):
    return place.book(schedule_id=make_session(starts_in=starts_in), profile_id=family.profile_ids[0],
                      actor=parent_actor(family)).booking_id  # fmt: skip


def sound() -> bool:
    return verify.run(full=True, keep_anchor=False).sound


def count(model, *where) -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count()).select_from(model).where(*where))


def test_what_was_open_to_either_stays_open_to_the_one_that_stays(finance):
    source, target, third = make_family(), make_family(), make_family()
    scopes = {
        Capability.WAITLIST: (f"families:{source.id},{third.id}", f"families:{target.id},{third.id}"),
        Capability.MAKEUP: (f"families:{target.id}", f"families:{target.id}"),
        Capability.QUESTION: (f"families:{third.id}", f"families:{third.id}"),
        Capability.BOOKING: ("off", "off"),
    }
    for name, (before, _) in scopes.items():
        changes.set_by_command(name=name, value=before, who="test")
    merge(source, target, finance)
    db.session.rollback()
    assert {name: service.text(name) for name in scopes} == {name: after for name, (_, after) in scopes.items()}
    assert switches.is_open(Capability.WAITLIST, target.id)
    assert not switches.is_open(Capability.QUESTION, target.id)
    by_merge = AuditEntry.reason == f"家庭 {source.id} 并入家庭 {target.id}"
    assert count(AuditEntry, AuditEntry.action == "policy.changed", by_merge) == 1


def test_a_scope_that_would_grow_too_long_stays(finance):
    source = make_family()
    with transaction():
        text = f"families:{source.id}," + ",".join(str(10**13 + n) for n in range(12))
        text += "," + "9" * (200 - len(text) - 1)
        db.session.add(PolicyValue(name=Capability.BOOKING, value=text, updated_at=clock.now(), updated_by="test"))
    with transaction():
        changes.carry_over(source.id, 10**14, finance)
    assert service.text(Capability.BOOKING) == text


@pytest.mark.parametrize(
    ("left", "right", "rows"),
    [("300.00", "120.00", 2), ("-300.00", "500.00", 2), ("300.00", "-120.50", 2), ("-300.00", "-900.00", 2),
     ("-300.00", "0.00", 2), ("0.00", "120.00", 0)],
)  # fmt: skip
def test_balances_come_together_debts_too(finance, left, right, rows):
    source, target = make_family(balance=left), make_family(parent="王先生", balance=right)
    done = merge(source, target, finance)
    together = Decimal(left) + Decimal(right)
    assert (done.moved, done.balance) == (Decimal(left), together)
    assert balances(source, target) == [0, together]
    linked = list(db.session.execute(
        sa.select(WalletTransaction.wallet_id, WalletTransaction.reference_id, WalletTransaction.amount)
        .where(WalletTransaction.reference_type == "transfer").order_by(WalletTransaction.wallet_id)
    ))  # fmt: skip
    assert len(linked) == rows
    if rows:
        assert [row.amount for row in linked] == [-Decimal(left), Decimal(left)]
        assert [row.reference_id for row in linked] == [str(target.wallet_id), str(source.wallet_id)]
    closed = wallet_of(source)
    assert (closed.status, closed.merged_into) == ("closed", target.wallet_id)
    assert sound()


def test_everybody_and_everything_moves(finance):
    source = make_family(parent="李妈妈", students=("李雷", "李梅"), phone="13812340001", balance="900.00")
    target = make_family(parent="李爸爸", balance="10.00")
    old, given_up, coming = book(source), book(source, timedelta(days=3)), book(source, timedelta(days=4))
    cancel.cancel(booking_id=old, actor=parent_actor(source))
    leave.take_leave(booking_id=given_up, actor=parent_actor(source))
    colleague = make_staff("front_desk", family_id=source.id)
    plan = two_families.merge_plan(two_families.side(source.id), two_families.side(target.id))
    assert (plan.bookings, plan.credits, plan.obstacles, plan.together) == (1, 1, (), Decimal("510.00"))
    merge(source, target, finance)
    for model in (User, Profile, Booking, MakeupCredit, Staff):
        assert count(model, model.family_id == source.id) == 0
    assert count(Booking, Booking.family_id == target.id) == 3
    assert db.session.get(Booking, coming).status == "booked"
    assert db.session.get(Staff, colleague.id, populate_existing=True).family_id == target.id
    assert db.session.get(Family, source.id).merged_into == target.id
    for words in ("李雷", "13812340001", "lilei"):
        assert [hit.family_id for hit in search.find(words)] == [target.id]
    assert search.find("李妈妈家庭") == []


def test_later_money_finds_the_other_wallet(finance):
    source, target, third = (make_family(balance="500.00") for _ in range(3))
    booking_id, staff = book(source), make_staff("finance")
    asked = desk.ask(staff, source, "70")
    merge(source, target, finance)
    merge(target, third, finance)  # twice over: the chain is followed to its end
    assert balances(source, target, third) == [0, 0, Decimal("1370.00")]
    back = undo.undo(adjustment_id=asked.adjustment_id, actor=actor_of(staff))
    assert (back.family_id, back.balance_after) == (third.id, Decimal("1300.00"))
    parent = parent_actor(source)
    parent = type(parent)(**{name: getattr(parent, name) for name in parent.__slots__} | {"family_id": third.id})
    done = cancel.cancel(booking_id=booking_id, actor=parent)
    assert (done.refund, done.balance) == (Decimal("200.00"), Decimal("1500.00"))
    assert sound()


def test_undoing_later_waits_on_the_other_wallet(finance):
    source, target = make_family(balance="500.00"), make_family(balance="500.00")
    asked = desk.ask(make_staff("finance"), source, "70")
    merge(source, target, finance)
    waits = undo.ask(adjustment_id=asked.adjustment_id, note="登记错了家庭", actor=actor_of(make_staff("front_desk")))
    assert (waits.family_id, waits.status) == (target.id, "pending")


def test_nobody_undoes_for_the_family_that_theirs_was_merged_into(finance):
    source, target = make_family(balance="500.00"), make_family(balance="500.00")
    asked = desk.ask(make_staff("finance"), source, "70")
    merge(source, target, finance)
    mine = make_staff("finance", family_id=target.id)
    with pytest.raises(OwnFamily):
        undo.ask(adjustment_id=asked.adjustment_id, note="登记错了", actor=actor_of(mine))


def test_a_wallet_merged_between_look_and_lock_is_followed(finance, monkeypatch):
    source, target = make_family(balance="500.00"), make_family(balance="500.00")
    merge(target, source, finance)  # into the one with the lower id: against the order of locks
    seen = iter([target.wallet_id, source.wallet_id])
    monkeypatch.setattr(merging, "follow_merge", lambda _wallet_id: next(seen))
    with transaction():
        assert merging.lock_heir(target.wallet_id).id == source.wallet_id
        assert ledger.lock_wallet(family_id=source.id).balance == Decimal("1000.00")


def test_a_wallet_with_money_is_not_closed(finance):
    source, target = make_family(balance="5.00"), make_family()
    with transaction():
        held = ledger.lock_wallets([source.wallet_id, target.wallet_id])
        with pytest.raises(ValueError, match="not empty"):
            merging.close_into(held[source.wallet_id], held[target.wallet_id])


def test_told_recorded_and_read_by_the_parents(finance):
    source, target = make_family(parent="李妈妈", balance="300.00"), make_family(parent="李爸爸", balance="-50.00")
    merge(source, target, finance)
    card = db.session.scalar(sa.select(Notification).where(Notification.type == "staff.families_merged"))
    assert "合并后余额：¥-50.00 → ¥250.00" in card.text
    assert "李妈妈家庭" in card.text
    changed = (Notification.type == "balance_changed", Notification.family_id == target.id)
    told = set(db.session.scalars(sa.select(Notification.user_id).where(*changed)))
    assert told >= {source.user_id, target.user_id}
    entries = db.session.execute(sa.select(AuditEntry.action, AuditEntry.family_id, AuditEntry.reason).where(
        AuditEntry.action.in_(("family.merged", "family.absorbed"))).order_by(AuditEntry.id)).all()  # fmt: skip
    assert entries == [("family.merged", source.id, "父母各开了一户"), ("family.absorbed", target.id, "父母各开了一户")]
    assert queries.wallet(family_id=target.id).balance == Decimal("250.00")


def test_what_is_under_way_comes_first(finance):
    source, target = make_family(balance="900.00"), make_family(balance="10.00")
    waiting = desk.ask(make_staff("front_desk"), source, "80")
    booking_id = book(source, timedelta(hours=1))
    late_id = late.ask(booking_id=booking_id, reason="孩子发烧", actor=actor_of(make_staff("finance")))
    with transaction():
        execute(sa.text("INSERT INTO withdrawals (wallet_id, user_id, amount, reason, status, created_at)"
                        " VALUES (:w, :u, :a, 'x', 'requested', :t)").bindparams(
            sa.bindparam("w", source.wallet_id), sa.bindparam("u", source.user_id),
            sa.bindparam("a", Decimal("5.00"), type_=Wallet.balance.type),
            sa.bindparam("t", clock.now(), type_=Wallet.created_at.type)))  # fmt: skip
    control.freeze(family_id=target.id, reason="核对", actor=actor_of(make_staff("manager")))
    with pytest.raises(OpenItems) as refusal:
        merge(source, target, finance)
    items = refusal.value.data["items"]
    assert len(items) == 4
    for words in ("已冻结", "余额调整", "提现", "逾时退款"):
        assert any(words in item for item in items)
    assert refusal.value.message.endswith("办结后再合并")
    assert waiting.status == "pending"
    assert late_id
    assert balances(source, target) == [700, 10]
    assert db.session.get(Family, source.id).merged_into is None


def test_a_late_refund_to_the_wallet_counts_though_the_student_has_moved(finance):
    source, other, target = (make_family(balance="900.00") for _ in range(3))
    booking_id = book(source, timedelta(hours=1))
    families.move_profile(profile_id=source.profile_ids[0], from_family_id=source.id, to_family_id=other.id,
                          reason="随妈妈", actor=finance)  # fmt: skip
    late.ask(booking_id=booking_id, reason="孩子发烧", actor=actor_of(make_staff("finance")))
    with pytest.raises(OpenItems, match="逾时退款"):
        merge(source, target, finance)


def test_who_may(finance):
    source, target = make_family(), make_family()
    for role in ("front_desk", "auditor", "admin"):
        with pytest.raises(Forbidden):
            merge(source, target, actor_of(make_staff(role)))
    with pytest.raises(StepUpRequired):
        merge(source, target, actor_of(make_staff("manager"), proof_age=3600))
    for mine in (source, target):
        with pytest.raises(OwnFamily):
            merge(source, target, actor_of(make_staff("manager", family_id=mine.id)))


def test_wrong_families(finance):
    source, target, third = make_family(), make_family(), make_family()
    with pytest.raises(Invalid):
        merge(source, source, finance)
    with pytest.raises(Invalid):
        merge(source, target, finance, reason="\u202e ")
    with pytest.raises(NotFound):
        families.merge_families(from_family_id=source.id, into_family_id=999_999, reason="x", actor=finance)
    merge(source, target, finance)
    for one, other in ((source, third), (third, source), (target, source)):
        with pytest.raises(FamilyMerged, match="已并入"):
            merge(one, other, finance)
    assert two_families.side(999_999) is None


def test_sums_that_do_not_fit_change_nothing(finance):
    source, target = make_family(balance="99999999.00"), make_family(balance="99999999.00")
    with pytest.raises(BalanceOutOfRange):
        merge(source, target, finance)
    assert balances(source, target) == [Decimal("99999999.00")] * 2
    assert count(Profile, Profile.family_id == source.id) == 1


def test_a_balance_that_moved_since_is_told(finance):
    source, target = make_family(balance="10.00"), make_family(balance="20.00")
    seen = (wallet_of(source).version, wallet_of(target).version)
    desk.ask(make_staff("finance"), target, "5")
    with pytest.raises(BalanceMoved):
        merge(source, target, finance, seen=seen)
    merge(source, target, finance, seen=(seen[0], seen[1] + 1))


def test_the_same_request_twice(finance):
    source, target = make_family(balance="10.00"), make_family(balance="20.00")
    key = RequestKey(f"staff:{finance.id}", "1" * 32, "same", lambda done: {"into": done.into_family_id})
    merge(source, target, finance, request_key=key)
    with pytest.raises(Replayed) as again:
        merge(source, target, finance, request_key=key)
    assert again.value.answer == {"into": target.id}
    assert balances(source, target) == [0, 30]
