"""The audit pages: filtered by the address, before and after side by side, hostile text as text."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from app.db import transaction
from app.domain.audit import actions
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor, system
from tests.factories import make_family
from tests.portal import Browser


@pytest.fixture
def entries(app):
    family = make_family()
    with transaction():
        for n in range(55):
            audit.record(
                Actor("staff", 7, "王<b>五</b>"), "profile.updated", target_type="profile", target_id=n,
                family_id=family.id, before={"notes": "旧"}, after={"notes": "<script>新"}, reason=f"原因{n}",
            )  # fmt: skip
    return family


def test_lists_newest_first_and_pages(app, entries):
    browser = Browser(app).sign_in("auditor")
    first = browser.get(f"/audit?family={entries.id}&action=profile.").get_data(as_text=True)
    assert "原因54" in first
    assert "原因3<" not in first
    assert "更早" in first
    assert "<b>五" not in first


def test_filters(app, entries):
    browser = Browser(app).sign_in("auditor")
    assert "原因54" in browser.htmx("/audit?action=profile.updated&who=staff&actor=7").get_data(as_text=True)
    assert "原因54" not in browser.htmx("/audit?action=profile.updated&who=parent").get_data(as_text=True)
    assert "原因54" not in browser.htmx("/audit?to=2001-01-01").get_data(as_text=True)
    assert "原因54" in browser.htmx("/audit?from=2001-01-01&who=nonsense&before=abc").get_data(as_text=True)
    assert "没有符合条件的记录" in browser.htmx("/audit?request_id=nothing-like-it").get_data(as_text=True)


def test_entry_shows_the_change(app, entries):
    from app.domain.audit import queries
    from app.domain.audit.queries import AuditFilter

    row = queries.page(AuditFilter(action="profile.updated")).items[0]
    browser = Browser(app).sign_in("auditor")
    text = browser.htmx(f"/audit/{row.id}").get_data(as_text=True)
    assert "&lt;script&gt;新" in text
    assert "<html" not in text
    assert "<html" in browser.get(f"/audit/{row.id}").get_data(as_text=True)
    assert browser.get("/audit/99999999").status_code == 404


@pytest.mark.parametrize(("role", "status"), [("auditor", 200), ("manager", 200), ("finance", 403), ("admin", 403)])
def test_who_may_look(app, role, status):
    assert Browser(app).sign_in(role).get("/audit").status_code == status


def test_export_is_the_list_on_the_screen_and_recorded(app, entries):
    from app.domain.audit import queries
    from app.domain.audit.queries import AuditFilter

    browser = Browser(app).sign_in("auditor")
    answer = browser.post("/exports/audit?action=profile.updated&family=" + str(entries.id), {"format": "csv"})
    text = answer.get_data().decode("utf-8-sig")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert text.count("\r\n") == 57
    noted = queries.page(AuditFilter(action="export.made")).items[0]
    assert noted.family_id == entries.id
    filters = {"动作": "profile.updated", "家庭编号": str(entries.id)}
    assert noted.after == {"filters": filters, "rows": 55, "format": "csv"}


def test_the_systems_own_rows_say_which_work_it_was(app):
    with transaction():
        audit.record(system("exceptions_escalate"), "case.escalated", target_type="case", target_id=1)
        audit.record(Actor("staff", 7, "worker"), "case.escalated", target_type="case", target_id=2)
    page = Browser(app).sign_in("auditor").get("/audit?action=case.").get_data(as_text=True)
    assert "异常提醒" in page
    assert "exceptions_escalate" not in page
    assert "worker" in page, "a person is called by the name they have"


def test_no_program_is_without_its_word():
    """What the code hands to `system(…)` is Chinese, or has its word."""
    root = Path(actions.__file__).resolve().parents[3]
    calls = [
        node
        for folder in ("app", "tasks")
        for file in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "system"
    ]
    names = {node.args[0].value for node in calls if node.args and isinstance(node.args[0], ast.Constant)}
    assert {"worker", "候补"} <= names
    assert [name for name in names if re.search("[a-z]", name) and name not in actions.PROGRAMS] == []
