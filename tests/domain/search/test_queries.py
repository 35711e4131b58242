"""The search field on a real database: everything that a person may type, and no scans (U2, Z17)."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db, transaction
from app.domain.audit.actor import system
from app.domain.desk.models import WalletAdjustment
from app.domain.ledger.models import WalletTransaction
from app.domain.people.models import Family, Profile, User
from app.domain.search import queries, service
from app.domain.search.models import SearchTerm
from tests import factories
from tests.portal import make_staff


@pytest.fixture
def zhang(app):
    return factories.make_family(parent="张女士", students=("张小明", "张乐乐"), phone="13712345678", balance="620.00")


def ids(query: str, limit: int = 10) -> list[int]:
    return [hit.family_id for hit in queries.find(query, limit=limit)]


@pytest.mark.parametrize(
    "query",
    ["张小明", "张小", "张", "zxm", "ZXM", "zhangxiaoming", "zhangxiaom", "zhang", "张xm", "张xiaom", "张小m",
     "zhangxm", "zhangx", "张l", "zyy", "zll", "张女士", "znsjt", "zhangnv", "zhangnu", "13712345678",
     "+86 137-1234-5678", "5678", " z x m "],
)  # fmt: skip
def test_whatever_a_person_types_finds_the_family(zhang, query):
    assert ids(query) == [zhang.id]


@pytest.mark.parametrize(
    "query",
    ["", " ", "李", "小明", "xm", "李xm", "lixm", "章xm", "zhaxm", "13712345679", "5679", "567", "%", "_", "张%", "z_m",
     "' OR 1=1 --", "\\", "\u202e张", "<script>", "9" * 40, "-1", "1.5"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(zhang, query):
    assert ids(query.replace("\u202e", "李")) == []


def test_a_hit_says_what_one_needs_to_choose(zhang):
    (hit,) = queries.find("zxm")
    assert hit.family_name == "张女士家庭"
    assert hit.matched == "张小明"
    assert hit.students == ["张小明", "张乐乐"]
    assert hit.parents == ["张女士"]
    assert hit.phone_masked == "137****5678"
    assert hit.balance == Decimal("620.00")


def test_a_phone_in_the_hit_is_masked(zhang):
    (hit,) = queries.find("13712345678")
    assert "13712345678" not in f"{hit}"
    assert hit.matched == "手机 137****5678"


def test_by_adjustment_transfer_and_transaction_number(zhang):
    staff = make_staff("finance")
    with transaction():
        db.session.execute(
            WalletAdjustment.__table__.insert().values(
                id=987654, wallet_id=zhang.wallet_id, family_id=zhang.id, amount=Decimal("100.00"), type="recharge",
                payment_method="wechat_transfer", external_no="4200ABC0001", external_no_live="4200ABC0001",
                reason_code="other", note="x", status="pending", approval_reasons="", needs_approval=True,
                needs_receipt=True, asked_by=staff.id, asked_at=clock.now(), request_key="once:1", version=1,
                created_at=clock.now(),
            )
        )  # fmt: skip
    posted = db.session.scalar(sa.select(WalletTransaction.id).where(WalletTransaction.wallet_id == zhang.wallet_id))
    assert [hit.matched for hit in queries.find("987654")] == ["调整单 #987654"]
    assert [hit.matched for hit in queries.find("#987654")] == ["调整单 #987654"]
    assert [hit.matched for hit in queries.find("4200abc0001")] == ["转账单号 4200ABC0001"]
    assert zhang.id in ids(str(posted))


def test_exact_names_come_before_longer_ones(app):
    longer = factories.make_family(parent="王女士", students=("张小明月",))
    exact = factories.make_family(parent="李女士", students=("张小明",))
    assert ids("张小明") == [exact.id, longer.id]
    assert ids("zxm") == [exact.id, longer.id]


def test_the_limit_holds_and_families_come_once(app):
    made = {factories.make_family(students=("张小明", "张小敏")).id for _ in range(7)}
    assert len(ids("zxm", limit=5)) == 5
    assert sorted(ids("zxm", limit=50)) == sorted(made)


def test_a_new_name_replaces_the_old(zhang):
    with transaction():
        profile = db.session.get(Profile, zhang.profile_ids[0])
        profile.name = "曾国藩"
        service.index_family(zhang.id)
    assert ids("zxm") == []
    assert ids("zgf") == [zhang.id]


def test_a_merged_family_is_found_no_more(zhang):
    other = factories.make_family(parent="李女士", students=("李雷",))
    with transaction():
        db.session.get(Family, zhang.id).merged_into = other.id
        service.index_family(zhang.id)
    assert ids("zxm") == []
    assert ids("13712345678") == []


def test_many_families_are_indexed_at_once(app):
    made = [factories.make_family(parent="周女士", students=(f"周{n}",)).id for n in range(5)]
    with transaction():
        db.session.execute(SearchTerm.__table__.delete())
        service.index_families(made)
    assert sorted(ids("周")) == sorted(made)


def test_a_dropdown_costs_few_queries(zhang, statements):
    for query, most in (("zxm", 3), ("13712345678", 7)):
        statements.clear()
        queries.find(query)
        assert len([statement for statement in statements if statement.startswith("SELECT")]) <= most


@pytest.fixture
def crowd(live_app):
    """Enough rows that a planner would not scan for want of anything better to do."""
    with live_app.app_context():
        now = clock.now()
        with transaction():
            families = [{"id": n, "name": f"家庭{n}", "created_at": now} for n in range(1, 3001)]
            db.session.execute(Family.__table__.insert(), families)
            users = [
                {"family_id": n, "openid": f"o-{n}", "member_status": "trial", "registered_at": now,
                 "phone_index": f"{n:032d}", "phone_tail": f"{n % 500:032d}"}
                for n in range(1, 3001)
            ]  # fmt: skip
            db.session.execute(User.__table__.insert(), users)
            rows = [row for n in range(1, 3001) for row in service.term_rows("family", n, n, f"张{n}")]
            db.session.execute(SearchTerm.__table__.insert(), rows)
        analyze = "ANALYZE" if db.engine.dialect.name == "sqlite" else "ANALYZE TABLE search_terms, users, families"
        db.session.execute(sa.text(analyze))
        db.session.commit()
        yield live_app


@pytest.mark.parametrize("query", ["z77", "张77", "张z7", "0077", "13700000077", "77"])
def test_no_search_scans_a_table(crowd, query):
    seen = []

    def note(_connection, _cursor, statement, parameters, *_rest):
        if statement.lstrip().upper().startswith("SELECT"):
            seen.append((statement, parameters))

    sa.event.listen(db.engine, "before_cursor_execute", note)
    queries.find(query)
    sa.event.remove(db.engine, "before_cursor_execute", note)
    db.session.rollback()
    assert seen
    for statement, parameters in seen:
        scanned = _scanned_tables(statement, parameters)
        assert not scanned & {"search_terms", "users", "profiles", "families", "wallet_adjustments"}, statement


def _scanned_tables(statement: str, parameters) -> set[str]:
    """Tables that the database would read from end to end."""
    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return {match[1] for row in plan if (match := re.match(r"SCAN (\w+)(?! USING)", row[3]))}
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings()
        return {row["table"] for row in plan if row["type"] in ("ALL", "index")}


def test_whoever_indexes_has_a_transaction(app):
    with pytest.raises(RuntimeError, match="outside a transaction"):
        service.index_family(1)
    assert system("test").type == "system"
