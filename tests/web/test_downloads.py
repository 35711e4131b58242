"""Every list as a file: who may take it, exactly the list on the screen, recorded, marked (U8, U15, S2)."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from openpyxl import load_workbook

from app import clock, paging
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.outbox.models import Notification
from app.domain.people.roles import Permission
from app.web.downloads import LISTS, offer
from tests.architecture import seeded
from tests.domain.ledger.wallets import move
from tests.factories import make_family
from tests.portal import Browser

#: lists that are somebody's or some figure's, with what the address must name
NEEDS = {
    "transactions": "family={family}", "bookings": "family={family}", "family-waits": "family={family}",
    "payment-rows": "figure=started", "waitlist-rows": "counted=freed", "acted": "kind=low_balance",
}  # fmt: skip
#: not a list of what there is: what could be chosen now (sessions, which the calendar's export has), and weeks to turn
CHOICES = {"_sessions.html", "_service.html"}


def table(answer) -> list[list[str]]:
    assert answer.status_code == 200, answer.get_data(as_text=True)[:200]
    return list(csv.reader(io.StringIO(answer.get_data().decode("utf-8-sig"), newline="")))


def book(answer) -> list[list]:
    assert answer.status_code == 200
    return [[cell.value for cell in row] for row in load_workbook(io.BytesIO(answer.get_data())).worksheets[0]]


def noted() -> list[AuditEntry]:
    query = sa.select(AuditEntry).where(AuditEntry.action == "export.made").order_by(AuditEntry.id)
    return list(db.session.scalars(query))


def test_every_list_can_be_taken_as_both_and_each_taking_is_recorded(app):
    family = seeded.ids()["family_id"]
    manager = Browser(app).sign_in("manager")
    for name, asked in LISTS.items():
        if name.endswith("-rows") and name not in NEEDS:
            continue  # rows behind a figure that must be named: the tests of their report take them
        address = f"/exports/{name}?{NEEDS.get(name, '').format(family=family)}"
        head, *rows, mark = table(manager.post(address, {"format": "csv"}))
        assert head == [column.title for column in asked.columns]
        assert (mark[1], mark[-1]) == (asked.title, str(len(rows)))
        assert manager.staff.display_name in mark[3]
        # The audit's own export is a row more the second time.
        assert len(book(manager.post(address, {"format": "xlsx"}))) == len(rows) + 1 + (name == "audit")
        one, two = noted()[-2:]
        assert (one.target_id, one.after["format"], two.after["format"]) == (name, "csv", "xlsx")
        assert one.after["rows"] == len(rows)
        assert one.actor_id == manager.staff.id


def test_every_list_is_refused_to_who_may_not_see_or_not_export(app):
    roles = {"front_desk": 403, "admin": 403}
    for role, status in roles.items():
        browser = Browser(app).sign_in(role)
        assert {browser.post(f"/exports/{name}", {"format": "csv"}).status_code for name in LISTS} == {status}
    finance = Browser(app).sign_in("finance")
    for name in ("audit", "staff"):  # may export, but not see these
        assert finance.post(f"/exports/{name}", {"format": "csv"}).status_code == 403
    auditor = Browser(app).sign_in("auditor")
    assert auditor.post("/exports/approvals", {"format": "csv"}).status_code == 403
    assert noted() == []


def test_what_makes_no_sense_is_refused_and_not_recorded(app):
    manager = Browser(app).sign_in("manager")
    assert manager.get("/exports/orders").status_code == 405
    assert manager.post("/exports/moon", {"format": "csv"}).status_code == 404
    for form in ("", "exe", "CSV", "csv\x00"):
        assert manager.post("/exports/orders", {"format": form}).status_code == 422
    for address in ("transactions", "transactions?family=999999", "bookings?family=x", "payment-rows?figure=x",
                    "acted?kind=x", "waitlist-rows"):  # fmt: skip
        assert manager.post(f"/exports/{address}", {"format": "csv"}).status_code == 404
    assert noted() == []


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(paging, "PIECE", 3)


def test_the_file_is_the_list_on_the_screen(app, small_pieces):
    """All pages of it, in its order, under its filters; what another wallet has is not in it."""
    family, other = make_family(), make_family()
    for number in range(10):
        amount, kind = ("10.00", "recharge") if number % 2 else ("100.00", "adjustment")
        move(family.wallet_id, amount, type=kind)
    move(other.wallet_id, "7.00")
    finance = Browser(app).sign_in("finance")
    page = finance.get(f"/families/{family.id}?type=recharge").get_data(as_text=True)
    address = re.search(r'action="(/exports/transactions[^"]+)"', page).group(1).replace("&amp;", "&")
    head, *rows, mark = table(finance.post(address, {"format": "csv"}))
    at = head.index("金额")
    assert [row[at] for row in rows] == ["10.00"] * 5
    sequence = [int(row[0]) for row in rows]
    assert sequence == sorted(sequence, reverse=True)
    assert f"家庭编号：{family.id}；类型：充值" in mark
    assert noted()[-1].family_id == family.id
    assert noted()[-1].after["rows"] == 5
    cells = book(finance.post(address, {"format": "xlsx"}))
    assert [row[at] for row in cells[1:]] == [10] * 5


def test_pages_do_not_matter_and_hostile_names_are_text(app, small_pieces):
    evil = make_family(parent='=cmd|"/C calc"!A0')
    for number in range(7):
        _notice(evil.id, number)
    manager = Browser(app).sign_in("manager")
    head, *rows, _ = table(manager.post(f"/exports/notices?family={evil.id}&before=3&after=9", {"format": "csv"}))
    assert len(rows) == 7
    assert all(row[head.index("家庭")].startswith('\'=cmd|"/C calc"!A0') for row in rows)
    assert {row[head.index("标题")] for row in rows} == {"'@SUM(1)"}
    cells = book(manager.post(f"/exports/notices?family={evil.id}", {"format": "xlsx"}))
    assert {row[head.index("标题")] for row in cells[1:]} == {"@SUM(1)"}


def _notice(family_id: int, number: int) -> None:
    with transaction():
        db.session.execute(Notification.__table__.insert().values(
            channel="in_app", type="low_balance", queue="default", recipient="1", family_id=family_id, payload={},
            title="@SUM(1)", text="x", status="sent", attempts=0, created_at=clock.now() - timedelta(hours=number),
            dedupe_key=f"export-{family_id}-{number}",
        ))  # fmt: skip


def test_a_phone_number_that_was_searched_for_is_masked_in_what_is_kept(app):
    manager = Browser(app).sign_in("manager")
    answer = manager.post("/exports/orders?q=13712345678", {"format": "csv"})
    assert "13712345678" not in answer.get_data(as_text=True)
    assert noted()[-1].after["filters"] == {"搜索": "137****5678"}


def test_nobody_in_between_holds_the_database(app, small_pieces, statements):
    """A slow reader at the other end keeps no transaction open."""
    family = make_family()
    for _ in range(7):
        move(family.wallet_id, "1.00")
    finance = Browser(app).sign_in("finance")
    answer = finance.client.post(
        f"/exports/transactions?family={family.id}", data={"csrf_token": finance.csrf_token(), "format": "csv"},
        headers={"Sec-Fetch-Site": "same-origin"}, buffered=False,
    )  # fmt: skip
    parts = iter(answer.response)
    next(parts)
    next(parts)
    assert not db.session().in_transaction()
    assert sum(1 for _ in parts) == 3
    answer.close()


def test_every_list_with_pages_offers_itself():
    """A page with a pager that does not hand it `export=` has a list that nobody can take."""
    templates = Path(__file__).resolve().parents[2] / "templates"
    lines = [
        (path.name, line.strip())
        for path in sorted(templates.rglob("*.html"))
        if path.parent.name != "components" and path.name not in CHOICES
        for line in path.read_text().splitlines()
        for call in re.findall(r"\{\{ pager\((.*?)\) \}\}", line)
        if "export=" not in call
    ]
    assert lines == []


def test_a_name_is_taken_once(app):
    with pytest.raises(ValueError, match="two lists"):
        offer("orders", "订单", Permission.ORDER_VIEW, list, ())
