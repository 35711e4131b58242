"""流水疑问: the list, one in the side panel, the answer, and where a question is met (W28)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.db import db
from app.domain.ledger.models import WalletTransaction
from app.domain.questions import queries, service
from tests.factories import make_family, parent_actor
from tests.portal import Browser


def text(response) -> str:
    return response.get_data(as_text=True)


@pytest.fixture
def family(app):
    return make_family(balance="100.00")


@pytest.fixture
def question(family) -> int:
    mine = sa.select(WalletTransaction.id).where(WalletTransaction.wallet_id == family.wallet_id)
    return service.ask(
        transaction_id=db.session.scalar(mine), text="<b>为什么</b>？", actor=parent_actor(family)
    )  # fmt: skip


@pytest.fixture
def front(app):
    return Browser(app).sign_in("front_desk")


def test_it_is_met_on_the_start_page_the_family_page_and_the_list(front, family, question):
    start = text(front.get("/"))
    assert "待答复的流水疑问" in start
    assert 'href="/questions"' in start
    for page in (text(front.get("/questions")), text(front.get(f"/families/{family.id}"))):
        assert f'href="/questions/{question}"' in page
        assert "&lt;b&gt;为什么&lt;/b&gt;？" in page
        assert "<b>为什么" not in page
    assert "没有符合条件的疑问" in text(front.get("/questions?status=answered"))
    assert front.get("/questions?status=x&from=x&family=x&before=x").status_code == 200


def test_answering_in_the_side_panel(front, family, question):
    panel = text(front.htmx(f"/questions/{question}"))
    assert "答复家长" in panel
    assert "家长提出流水疑问" in panel
    short = front.htmx(f"/questions/{question}/answer", {"note": "长" * 501})
    assert short.status_code == 422
    assert "最多 500 个字" in text(short)
    assert "长" * 501 in text(short)
    done = front.htmx(f"/questions/{question}/answer", {"note": "这笔是预约扣费"})
    assert done.status_code == 200
    assert "这笔是预约扣费" in text(done)
    assert "答复家长" not in text(done)
    assert "desk:question-changed" in done.headers["HX-Trigger"]
    assert db.session.scalar(queries.OPEN) == 0
    assert "没有待答复的疑问" in text(front.get("/questions"))
    assert "这笔是预约扣费" in text(front.get(f"/questions/{question}"))


def test_without_script_and_twice(front, question):
    token = {"request_token": "a" * 32, "note": "好的"}
    assert front.post(f"/questions/{question}/answer", token).status_code == 303
    assert front.post(f"/questions/{question}/answer", token).status_code == 303  # the same press again
    late = front.post(f"/questions/{question}/answer", {"note": "另一个答复"})
    assert late.status_code == 409
    assert "已经答复过了" in text(late)


def test_the_auditor_reads_and_nobody_finds_what_is_not_there(app, question):
    auditor = Browser(app).sign_in("auditor")
    assert "由前台、财务或店长答复" in text(auditor.get(f"/questions/{question}"))
    assert auditor.get("/questions/999999").status_code == 404
    assert Browser(app).sign_in("manager").post("/questions/999999/answer", {"note": "好"}).status_code == 404
