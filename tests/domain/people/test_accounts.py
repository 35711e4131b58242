"""Passwords, codes, limits and attempts, and what only the service layer can be asked (P7, P8, S9, S13)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import Actor, system
from app.domain.people import attempts, limits, passwords, queries_staff, role_changes, sessions, staff, totp
from app.domain.people.attempts import LockedOut, network_of
from app.domain.people.models import RateCount, RecoveryCode, Staff, StaffStatus
from app.domain.people.roles import ROLE_PERMISSIONS, Permission, Role
from app.errors import Forbidden, Invalid, InvalidState, NotFound, StepUpRequired, TooMany, Unavailable
from tests.accounts import SECRET, code, make_account
from tests.portal import actor_of, make_staff

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
MONEY = {
    Permission.ADJUSTMENT_ASK, Permission.ADJUSTMENT_DIRECT, Permission.ADJUSTMENT_APPROVE, Permission.WALLET_CONTROL,
}  # fmt: skip


# ── roles ───────────────────────────────────────────────────────────────────────────────────────────


def test_who_hands_out_power_has_none_over_money():
    for role, permissions in ROLE_PERMISSIONS.items():
        assert not (Permission.STAFF_EDIT in permissions and permissions & MONEY), role
    assert not ROLE_PERMISSIONS[Role.ADMIN] & MONEY
    assert not ROLE_PERMISSIONS[Role.AUDITOR] & (MONEY | {Permission.POLICY_EDIT, Permission.FAMILY_EDIT})


@pytest.mark.parametrize("role", ["front_desk", "finance", "manager", "auditor"])
def test_only_admins_keep_accounts_whatever_the_page_says(app, role):
    actor, person = actor_of(make_staff(role)), make_staff("front_desk")
    acts = [
        lambda: staff.create(username="new", display_name="新", role="front_desk", password="purple-otter-lamp",
                             must_change=True, actor=actor),
        lambda: staff.disable(staff_id=person.id, reason="x", actor=actor),
        lambda: staff.enable(staff_id=person.id, actor=actor),
        lambda: staff.reset_password(staff_id=person.id, password="purple-otter-lamp", actor=actor),
        lambda: staff.reset_second_factor(staff_id=person.id, reason="x", actor=actor),
        lambda: staff.update(staff_id=person.id, display_name="x", family_id=None, actor=actor),
        lambda: role_changes.ask(staff_id=person.id, role="admin", reason="x", actor=actor),
        lambda: role_changes.withdraw(request_id=1, actor=actor),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(Forbidden):
            act()


@pytest.mark.parametrize("role", ["front_desk", "finance", "auditor"])
def test_who_may_not_decide(app, role):
    actor = actor_of(make_staff(role))
    for act in (role_changes.approve, role_changes.reject):
        with pytest.raises(Forbidden):
            act(request_id=1, note="不", actor=actor)


def test_a_stale_proof_asks_again(app):
    actor, person = actor_of(make_staff("admin"), proof_age=601.0), make_staff("front_desk")
    for act in (lambda: staff.disable(staff_id=person.id, reason="x", actor=actor),
                lambda: role_changes.ask(staff_id=person.id, role="finance", reason="x", actor=actor),
                lambda: role_changes.approve(request_id=1, note="", actor=actor),
                lambda: totp.begin(actor=actor)):  # fmt: skip
        with pytest.raises(StepUpRequired):
            act()


# ── two people ──────────────────────────────────────────────────────────────────────────────────────


def ask(asker: Staff, person: Staff, role: str = "finance") -> int:
    return role_changes.ask(staff_id=person.id, role=role, reason="转岗", actor=actor_of(asker))


def test_nobody_decides_about_themselves(app):
    asker, concerned = make_staff("admin"), make_staff("manager")
    request_id = ask(asker, concerned, "admin")
    with pytest.raises(Forbidden) as refused:
        role_changes.approve(request_id=request_id, note="", actor=actor_of(concerned))
    assert refused.value.code == "SELF_APPROVAL"
    with pytest.raises(Forbidden):
        role_changes.reject(request_id=request_id, note="不", actor=actor_of(concerned))


def test_the_last_admin_stays(app):
    asker, last = make_staff("admin"), make_staff("admin")
    request_id = ask(asker, last, "front_desk")
    staff.disable(staff_id=asker.id, reason="离职", actor=system("test"))
    with pytest.raises(InvalidState, match="最后一位"):
        role_changes.approve(request_id=request_id, note="", actor=actor_of(make_staff("manager")))
    with pytest.raises(InvalidState, match="最后一位"):
        staff.disable(staff_id=last.id, reason="离职", actor=system("test"))


def test_an_account_that_changed_meanwhile_is_not_raised(app):
    asker, person, manager = make_staff("admin"), make_staff("front_desk"), make_staff("manager")
    request_id = ask(asker, person)
    staff.disable(staff_id=person.id, reason="离职", actor=actor_of(asker))
    with pytest.raises(InvalidState, match="有了变化"):
        role_changes.approve(request_id=request_id, note="", actor=actor_of(manager))
    role_changes.reject(request_id=request_id, note="已离职", actor=actor_of(manager))
    with pytest.raises(InvalidState, match="已经处理过"):
        role_changes.withdraw(request_id=request_id, actor=actor_of(asker))


def test_a_role_that_is_none_or_the_same(app):
    admin, person = actor_of(make_staff("admin")), make_staff("front_desk")
    for role in ("owner", "front_desk"):
        with pytest.raises(Invalid) as refused:
            role_changes.ask(staff_id=person.id, role=role, reason="x", actor=admin)
        assert list(refused.value.errors) == ["role"]
    with pytest.raises(Invalid):
        staff.create(username="xx", display_name="新", role="owner", password="purple-otter-lamp", must_change=True,
                     actor=admin)  # fmt: skip


def test_unknown_requests_and_people(app):
    admin, manager = actor_of(make_staff("admin")), actor_of(make_staff("manager"))
    with pytest.raises(NotFound):
        role_changes.approve(request_id=999, note="", actor=manager)
    with pytest.raises(NotFound):
        role_changes.ask(staff_id=999, role="finance", reason="x", actor=admin)
    with pytest.raises(NotFound):
        staff.enable(staff_id=999, actor=admin)
    assert queries_staff.staff_sheet(999) is None


def test_a_policy_request_is_none_of_ours(app):
    from app.domain.policy.models import ChangeRequest

    asker = make_staff("manager")
    with transaction():
        row = ChangeRequest(kind="policy", target="overdraft_limit", old_value="1", new_value="2", reason="x",
                            status="pending", asked_by=asker.id, asked_at=clock.now())  # fmt: skip
        db.session.add(row)
        db.session.flush()
        request_id = row.id
    with pytest.raises(NotFound):
        role_changes.approve(request_id=request_id, note="", actor=actor_of(make_staff("manager")))
    assert queries_staff.open_requests() == []


def test_a_command_makes_any_role_at_once(app):
    made = staff.create(username="Boss", display_name="  店\u202e长 ", role="manager", password="purple-otter-lamp",
                        must_change=False, actor=system("test"))  # fmt: skip
    row = db.session.get(Staff, made.staff_id)
    assert (row.username, row.display_name, row.role, made.asked_role) == ("boss", "店长", "manager", None)


@pytest.mark.parametrize("nothing", ["", "  ", " \u200b", "\x00"])
def test_text_that_is_nothing_is_refused(app, nothing):
    admin, person = actor_of(make_staff("admin")), make_staff("front_desk")
    acts = {
        "reason": lambda: staff.disable(staff_id=person.id, reason=nothing, actor=admin),
        "display_name": lambda: staff.update(staff_id=person.id, display_name=nothing, family_id=None, actor=admin),
        "reason of a role": lambda: role_changes.ask(staff_id=person.id, role="finance", reason=nothing, actor=admin),
        "note": lambda: role_changes.reject(request_id=1, note=nothing, actor=admin),
        "reason of a reset": lambda: staff.reset_second_factor(staff_id=person.id, reason=nothing, actor=admin),
    }
    for name, act in acts.items():
        with pytest.raises(Invalid) as refused:
            act()
        assert list(refused.value.errors) == [name.partition(" ")[0]]


# ── passwords ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "good", ["correct horse battery", "体操馆的春天很暖和呀真好", "x7#kQ9!mZ2", "p" * 60 + "qrstu"]
)
def test_good_passwords(good):
    passwords.check(good, username="zhang")


@pytest.mark.parametrize(
    "bad", ["", "short", "x" * 129, "zhang-is-my-name", "1234567890", "password1", "woaini woaini", "aabbaabbaabb"]
)
def test_bad_passwords(bad):
    with pytest.raises(Invalid) as refused:
        passwords.check(bad, username="zhang")
    assert "password" in refused.value.errors


def test_hashing_inside_a_transaction_is_refused(app):
    with transaction(), pytest.raises(RuntimeError, match="password hash"):
        passwords.hash_password("purple-otter-lamp")


def test_no_more_hashes_at_once_than_the_machine_bears(monkeypatch):
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0)
    taken = [passwords._slots.acquire(timeout=0) for _ in range(4)]
    try:
        assert all(taken)
        with pytest.raises(Unavailable):
            passwords.verify(None, "x")
    finally:
        for _ in taken:
            passwords._slots.release()


def test_no_account_and_a_broken_hash_are_simply_wrong():
    assert passwords.verify(None, "anything") is False
    assert passwords.verify("not a hash", "anything") is False


def test_temporary_passwords_differ_and_are_acceptable():
    made = {passwords.temporary() for _ in range(50)}
    assert len(made) == 50
    for each in made:
        passwords.check(each, username="zhang")


# ── codes ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "一二三四五六", "١٢٣٤٥٦x", " " * 99])
def test_what_is_no_code(typed):
    assert totp.matching_step(SECRET, totp.normalised(typed)) is None
    assert not totp.looks_like_code(typed)


def test_recovery_codes_need_a_second_factor_in_force(app):
    person = make_account("front_desk", second_factor=True)
    codes = totp.renew_recovery_codes(actor=actor_of(person))
    assert queries_staff.staff_sheet(person.id).has_second_factor
    with transaction():
        db.session.get(Staff, person.id).totp_secret = None
    with transaction():
        assert totp.spend(person.id, codes[0]) is None
        assert totp.spend(person.id, code()) is None


def test_a_code_of_another_person_is_worth_nothing(app):
    one, other = make_account("front_desk", second_factor=True), make_account("front_desk", second_factor=True)
    codes = totp.renew_recovery_codes(actor=actor_of(one))
    with transaction():
        assert totp.spend(other.id, codes[0]) is None
        assert totp.spend(one.id, codes[0]) == "recovery"
    assert totp.recovery_codes_left(one.id) == 9
    assert db.session.scalar(sa.select(sa.func.count()).select_from(RecoveryCode)) == 10


# ── attempts and limits ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.9", "10.0.0.9"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::"),
        ("::ffff:10.0.0.9", "10.0.0.9"),
        (None, "-"),
        ("rubbish", "-"),
    ],
)
def test_what_counts_as_one_address(address, network):
    assert network_of(address) == network


def test_the_address_is_left_out_where_limits_are_off(app):
    with clock.travel(to=NOON):
        for number in range(6):
            attempts.begin(attempts.account_key(f"name{number}"), "10.0.0.9", count_address=False)
        with pytest.raises(LockedOut):
            attempts.begin(attempts.account_key("name9"), "10.0.0.9")


def test_a_refused_attempt_does_not_prolong_the_lock(app):
    key = attempts.account_key("zhang")
    with clock.travel(to=NOON):
        for _ in range(5):
            attempts.begin(key, "10.0.0.9")
    for minute in range(1, 15):
        with clock.travel(to=NOON + timedelta(minutes=minute)), pytest.raises(LockedOut) as locked:
            attempts.begin(key, "10.0.0.9")
        assert locked.value.retry_after == (15 - minute) * 60
    with clock.travel(to=NOON + timedelta(minutes=15)):
        attempts.begin(key, "10.0.0.9")


def test_a_limit_refuses_and_says_when(app):
    with clock.travel(to=NOON):
        assert [limits.hit("t:1", limit=3, window_seconds=60) for _ in range(3)] == [1, 2, 3]
        with pytest.raises(TooMany) as refused:
            limits.hit("t:1", limit=3, window_seconds=60)
        assert refused.value.retry_after == 60
        assert limits.hit("t:2", limit=3, window_seconds=60) == 1


def test_a_limit_slides_over_the_edge_of_the_minute(app):
    with clock.travel(to=NOON + timedelta(seconds=59)):
        for _ in range(10):
            limits.hit("t:1", limit=10, window_seconds=60)
    with clock.travel(to=NOON + timedelta(seconds=61)):
        assert limits.hit("t:1", limit=10, window_seconds=60) == 10
        with pytest.raises(TooMany):
            limits.hit("t:1", limit=10, window_seconds=60)
    with clock.travel(to=NOON + timedelta(seconds=120)):
        assert limits.hit("t:1", limit=10, window_seconds=60) == 2


def test_spent_windows_go(app):
    for minute in range(4):
        with clock.travel(to=NOON + timedelta(minutes=minute)):
            limits.hit("t:1", limit=10, window_seconds=60)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(RateCount)) == 2
    assert limits.forget_before(moment_seconds=int(NOON.timestamp()) + 180) == 1


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("token", [None, "", 7, ["x"], "unknown"])
def test_what_is_no_token(app, token):
    assert sessions.find(token) is None


def test_the_database_keeps_only_the_hash(app):
    person = make_staff("front_desk")
    with transaction():
        token = sessions.start(person.id, ip="127.0.0.1", user_agent="x")
    stored = db.session.execute(sa.text("SELECT token_hash FROM staff_sessions")).scalars().all()
    assert token not in stored
    assert sessions.find(token).staff_id == person.id
    assert sessions.find(token).get_id() == str(person.id)
    assert sessions.find(stored[0]) is None


def test_touching_writes_at_most_once_a_minute(app, statements):
    person = make_staff("front_desk")
    with clock.travel(to=NOON):
        with transaction():
            token = sessions.start(person.id, ip=None, user_agent=None)
        statements.clear()
        sessions.touch(sessions.find(token))
        assert not [s for s in statements if s.startswith("UPDATE")]
    with clock.travel(to=NOON + timedelta(seconds=60)):
        sessions.touch(sessions.find(token))
        assert sessions.find(token).last_seen_at == NOON + timedelta(seconds=60)


def test_a_parent_holds_none_of_the_desks_powers(app):
    parent = Actor(type="parent", id=1, name="张女士", role="admin", family_id=1)
    with pytest.raises(Forbidden):
        staff.disable(staff_id=make_staff("front_desk").id, reason="x", actor=parent)


def test_live_sessions_leave_out_the_dead(app):
    person = make_staff("front_desk")
    with clock.travel(to=NOON):
        with transaction():
            sessions.start(person.id, ip="10.0.0.1", user_agent="x")
        assert len(queries_staff.live_sessions(person.id)) == 1
    with clock.travel(to=NOON + timedelta(minutes=30)):
        assert queries_staff.live_sessions(person.id) == []
    assert queries_staff.staff_list()[0].status == StaffStatus.ACTIVE
