"""What a sheet of adjustments may say, row by row, and whose its rows are (W20)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.db import transaction
from app.domain.desk import bulk, bulk_check, bulk_sheet
from app.domain.people.models import Staff
from app.domain.people.phones import whole_index
from tests.domain.desk.batches import asked, cells, name_of, read
from tests.domain.desk.desk import ask, receipt, row
from tests.factories import make_family, parent_of
from tests.portal import make_staff


def wrong(**changes) -> list[tuple[str, str]]:
    """(column, sentence) of what is wrong with one row."""
    _, errors = read([cells(**({"家庭编号": "1"} | changes))])
    return [(error.column, error.message) for error in errors]


@pytest.mark.parametrize(
    ("changes", "column", "words"),
    [
        ({"金额": ""}, "金额", "请填写金额"),
        ({"金额": "12.345"}, "金额", "两位小数"),
        ({"金额": "１２"}, "金额", "两位小数"),
        ({"金额": "1,000.00"}, "金额", "两位小数"),
        ({"金额": "0.30000000000000004"}, "金额", "两位小数"),
        ({"金额": "--5"}, "金额", "两位小数"),
        ({"金额": "0"}, "金额", "必须大于 0"),
        ({"金额": "-5"}, "金额", "充值不能减少余额"),
        ({"金额": "NaN"}, "金额", "两位小数"),
        ({"类型": "退款"}, "类型", "充值、补差、纠错、赠送"),
        ({"收款方式": "比特币"}, "收款方式", "现金、微信转账"),
        ({"原因": "撤销"}, "原因", "不在原因列表里"),
        ({"原因": "undo"}, "原因", "不在原因列表里"),
        ({"说明": "字" * 501}, "说明", "最多 500"),
        ({"转账单号": "20261121001"}, "转账单号", "请留空"),
        ({"收款方式": "支付宝", "转账单号": "x';--"}, "转账单号", "数字或字母"),
        ({"家庭编号": "十"}, "家庭编号", "只能是数字"),
        ({"家庭编号": "9" * 19}, "家庭编号", "只能是数字"),
        ({"家庭编号": ""}, "家庭编号", "至少填写"),
        ({"手机号": "123"}, "手机号", "11 位"),
    ],
)
def test_each_cell_says_what_is_wrong_with_it(changes, column, words):
    found = dict(wrong(**changes))
    assert list(found) == [column]
    assert words in found[column]


def test_a_missing_note_is_asked_for():
    assert [column for column, _ in wrong(说明="")] == ["说明"]


def test_all_that_is_wrong_with_a_row_is_said_at_once():
    found = wrong(金额="x", 类型="y", 收款方式="z", 原因="", 说明="")
    assert sorted(column for column, _ in found) == sorted(["金额", "类型", "收款方式", "原因", "说明"])


def test_words_and_codes_and_signs_are_understood():
    rows = [
        cells(家庭编号="7", 金额="+500"),
        cells(家庭编号="7", 金额="-200.50", 类型="correction", 收款方式="none", 原因="wrong_amount"),
        cells(手机号="137 0000 1234", 收款方式="支付宝", 转账单号="2026 1121-001"),
    ]
    lines, errors = read(rows)
    assert errors == []
    assert [one.wish.amount for one in lines] == [Decimal("500.00"), Decimal("-200.50"), Decimal("100.00")]
    assert (lines[1].wish.type, lines[1].wish.payment_method) == ("correction", "none")
    assert (lines[2].phone, lines[2].wish.external_no) == ("13700001234", "20261121001")


def test_rows_that_say_the_same_are_named():
    same = cells(家庭编号="7", note="同一笔")
    moved = cells(家庭编号="7", 收款方式="支付宝", 转账单号="20261121001")
    other = cells(家庭编号="8", 收款方式="支付宝", 转账单号="2026-1121-001")
    _, errors = read([same, same, same | {"说明": "另一笔"}, moved, other])
    assert [(error.line, error.column) for error in errors] == [(3, "说明"), (6, "转账单号")]
    assert "第 2 行" in errors[0].message
    assert "第 5 行" in errors[1].message


def test_the_digest_is_of_what_rows_say(app):
    lines, _ = read([cells(家庭编号="7", note="a"), cells(家庭编号="8", note="b")])
    told = [(one.family_id, one.wish) for one in lines]
    assert bulk_sheet.digest(told) == bulk_sheet.digest(list(told))
    assert bulk_sheet.digest(told) != bulk_sheet.digest(told[::-1])


# ── whose rows ──────────────────────────────────────────────────────────────────────────────────────


def identified(rows):
    lines, errors = read(rows)
    assert errors == []
    known, unknown = bulk_check.identify(lines)
    return [one.family_id for one in known], [(error.line, error.column) for error in unknown]


def test_a_family_is_known_by_number_phone_or_name(app):
    one, two = make_family(phone="13700001234"), make_family(parent="独一无二的欧阳女士")
    rows = [cells(one), cells(手机号="13700001234"), cells(家庭名称=name_of(two)),
            cells(one, 手机号="13700001234", 家庭名称=name_of(one))]  # fmt: skip
    assert identified(rows) == ([one.id, one.id, two.id, one.id], [])


def test_what_does_not_fit_together_is_named(app):
    one, two = make_family(phone="13700001234"), make_family(phone="13700005678")
    assert name_of(one) == name_of(two)
    rows = [
        cells(家庭编号="99999999"),
        cells(手机号="13700009999"),
        cells(家庭名称="没有这家人"),
        cells(家庭名称=name_of(one)),  # two families are called so
        cells(one, 手机号="13700005678"),
        cells(one, 家庭名称="别的名字"),
        cells(家庭名称="<script>alert(1)</script>"),
        cells(家庭编号="99999999", 家庭名称=name_of(one)),
    ]
    known, unknown = identified(rows)
    assert known == []
    columns = ["家庭编号", "手机号", "家庭名称", "家庭名称", "手机号", "家庭名称", "家庭名称", "家庭编号"]
    assert unknown == [(number, column) for number, column in enumerate(columns, 2)]


def test_a_family_that_was_merged_is_no_more(app):
    gone, into = make_family(parent="甲没有同名"), make_family(parent="乙")
    name = name_of(gone)
    with transaction() as state:
        state.session.execute(bulk_check.Family.__table__.update().where(bulk_check.Family.id == gone.id)
                              .values(merged_into=into.id))  # fmt: skip
    assert identified([cells(gone), cells(家庭名称=name)]) == ([], [(2, "家庭编号"), (3, "家庭名称")])


# ── what is there ───────────────────────────────────────────────────────────────────────────────────


def checked(author, rows):
    known, unknown = bulk_check.identify(read(rows)[0])
    assert unknown == []
    return bulk_check.check(known, author)


def test_a_transfer_number_used_before_is_an_error(app):
    clerk, family = make_staff("finance"), make_family()
    done = ask(clerk, family, payment_method="alipay", external_no="20261121001", receipts=[receipt()])
    transfer = {"收款方式": "支付宝", "转账单号": "20261121001"}
    found = checked(clerk, [cells(family, **transfer), cells(family, **transfer | {"收款方式": "微信转账"})])
    assert [(e.line, e.column) for e in found.errors] == [(2, "转账单号")]
    assert f"#{done.adjustment_id}" in found.errors[0].message
    waits = asked(clerk, [cells(family, **transfer | {"转账单号": "20261121002"})])
    found = checked(clerk, [cells(family, **transfer | {"转账单号": "20261121002"})])
    assert f"#{waits}" in found.errors[0].message


def test_only_the_same_method_and_number_count(app):
    clerk, family = make_staff("finance"), make_family()
    ask(clerk, family, payment_method="alipay", external_no="20261121021", receipts=[receipt()])
    asked(clerk, [cells(family, 收款方式="支付宝", 转账单号="20261121022")])
    rows = [cells(family, 收款方式="微信转账", 转账单号="20261121021"),
            cells(family, 收款方式="微信转账", 转账单号="20261121022"),
            cells(family, 收款方式="支付宝", 转账单号="20261121023")]  # fmt: skip
    assert checked(clerk, rows).errors == []


def test_a_waiting_batch_is_not_held_against_itself(app):
    clerk = make_staff("finance")
    batch_id = asked(clerk, [cells(make_family(), 收款方式="支付宝", 转账单号="20261121024")])
    assert bulk_check.check(bulk.lines_of(batch_id), clerk, batch_id=batch_id).errors == []


def test_what_looks_alike_is_said_and_not_refused(app):
    clerk, family = make_staff("finance"), make_family()
    done = ask(clerk, family, "100")
    found = checked(clerk, [cells(family), cells(family), cells(family, "99")])
    assert found.errors == []
    assert any(f"#{done.adjustment_id}" in sentence for sentence in found.warnings[2])
    assert any("第 2 行" in sentence for sentence in found.warnings[3])
    assert 4 not in found.warnings
    assert row(done.adjustment_id).status == "completed"


def test_what_a_wallet_would_refuse_is_reckoned_row_after_row(app):
    clerk, family = make_staff("finance"), make_family(balance="0.00")
    less = {"类型": "纠错", "原因": "金额录错", "收款方式": "无"}
    rows = [cells(family, "-800", **less), cells(family, "-300", **less), cells(family, "100"),
            cells(family, "-300", **less)]  # fmt: skip
    assert checked(clerk, rows).refused == {3}


@pytest.mark.parametrize("how", ["linked", "openid", "phone"])
def test_nobody_adjusts_their_own_family_by_sheet(app, how):
    family = make_family(phone="13700001234")
    parent = parent_of(family)
    values = {"linked": {"family_id": family.id}, "openid": {"openid": parent.openid},
              "phone": {"phone_index": whole_index("13700001234")}}[how]  # fmt: skip
    clerk: Staff = make_staff("finance", **values)
    found = checked(clerk, [cells(family), cells(make_family())])
    assert [error.line for error in found.errors] == [2]
    assert "自己的家庭" in found.errors[0].message
