"""`flask families import` (95, 96.8)."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
import sqlalchemy as sa
from openpyxl import Workbook

from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.ledger.models import Wallet, WalletTransaction
from app.domain.people.import_rows import COLUMNS
from app.domain.people.models import Family, Level, Profile, User
from app.domain.people.registration import add_family_with_parent
from app.domain.search.models import SearchTerm

HEADER = ",".join(COLUMNS)
ZHANG = "张家,张女士,o-zhang-1,13800000001,张小明,2018-05-20,L2,formal,500.00"
ZHANG_2 = "张家,张先生,o-zhang-2,,张小红,2020-01-02,L1,trial,"
LI = "李家,李女士,o-li-1,13900000002,李雷,2017-03-04,L10,left,0.00"


@pytest.fixture
def run(app, tmp_path):
    def run(*lines: str, args: tuple[str, ...] = (), bom: bool = False, data: bytes | None = None, name="f.csv"):
        file = tmp_path / name
        text = "\n".join((HEADER, *lines)) + "\n"
        file.write_bytes(data if data is not None else text.encode("utf-8-sig" if bom else "utf-8"))
        done = app.test_cli_runner().invoke(args=["families", "import", str(file), *args])
        db.session.rollback()
        return done

    return run


def counts() -> tuple[int, ...]:
    models = (Family, User, Profile, Wallet, WalletTransaction, Level, AuditEntry, SearchTerm)
    return tuple(db.session.scalar(sa.select(sa.func.count()).select_from(model)) for model in models)


def balance(family: str) -> Decimal:
    query = sa.select(Wallet.balance).join(Family, Family.id == Wallet.family_id).where(Family.import_key == family)
    return db.session.scalar(query)


def user(openid: str) -> User:
    return db.session.scalars(sa.select(User).where(User.openid == openid)).one()


def student(name: str) -> Profile:
    return db.session.scalars(sa.select(Profile).where(Profile.name == name)).one()


@pytest.mark.parametrize("bom", [False, True])
def test_rows_of_one_family_share_a_wallet(run, bom):
    done = run(ZHANG, ZHANG_2, LI, bom=bom)

    assert done.exit_code == 0, done.output
    assert balance("张家") == Decimal("500.00")
    assert user("o-zhang-1").family_id == user("o-zhang-2").family_id != user("o-li-1").family_id
    assert (user("o-zhang-1").phone, user("o-zhang-2").phone) == ("13800000001", None)
    assert user("o-zhang-1").member_status == "formal"
    row = db.session.scalars(sa.select(WalletTransaction)).one()
    assert (row.type, row.reference_type, row.amount) == ("recharge", "import", Decimal("500.00"))


def test_levels_are_made_in_name_order_and_are_confirmed(run):
    run(ZHANG, ZHANG_2, LI)

    levels = db.session.execute(sa.select(Level.name).order_by(Level.rank)).scalars().all()
    assert levels == ["L1", "L2", "L10"]
    pupil = student("张小明")
    assert (pupil.level_confirmed, pupil.birthday) == (True, "2018-05-20")
    assert db.session.get(Level, pupil.level_id).name == "L2"


def test_run_again_it_changes_nothing(run):
    run(ZHANG, ZHANG_2, LI)
    before = counts()

    again = run(ZHANG, ZHANG_2, LI)

    assert again.exit_code == 0
    assert counts() == before
    assert balance("张家") == Decimal("500.00")
    assert "本次入账 0 笔" in again.output


def test_run_again_it_takes_what_is_new(run):
    run(ZHANG, LI)

    run("张家,张女士,o-zhang-1,13800000009,张小明,2018-05-20,L3,formal,500.00", ZHANG_2, LI.replace("0.00", "80.50"))

    assert user("o-zhang-1").phone == "13800000009"
    assert db.session.get(Level, student("张小明").level_id).name == "L3"
    assert student("张小红").family_id == user("o-zhang-1").family_id
    assert (balance("张家"), balance("李家")) == (Decimal("500.00"), Decimal("80.50"))


def test_an_opening_balance_is_stated_once(run):
    run(ZHANG)
    before = counts()

    done = run(ZHANG.replace("500.00", "600.00"))

    assert done.exit_code == 1
    assert "line 2, column opening_balance: 期初余额已导入为 ¥500.00" in done.output
    assert counts() == before


def test_dry_run_prints_totals_and_changes_nothing(run):
    before = counts()

    done = run(ZHANG, ZHANG_2, LI, args=("--dry-run",))

    assert done.exit_code == 0
    assert counts() == before
    for words in ("家庭 2 户，其中新建 2 户", "家长 3 位", "学员 3 位", "级别 新建 3 个", "期初余额合计 ¥500.00",
                  "本次将入账 1 笔，¥500.00"):  # fmt: skip
        assert words in done.output


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (ZHANG.replace("张家", "", 1), "column family: 请填写家庭名称"),
        (ZHANG.replace("张女士", ""), "column parent_name: 请填写家长姓名"),
        (ZHANG.replace("o-zhang-1", ""), "column openid: 请填写openid"),
        (ZHANG.replace("o-zhang-1", "张 1"), "column openid: openid 为"),
        (ZHANG.replace("13800000001", "1380000"), "column phone: 手机号为 11 位"),
        (ZHANG.replace("张小明", ""), "column student: 请填写学员姓名"),
        (ZHANG.replace("张小明", "长" * 65), "column student: 学员姓名最多 64 个字"),
        (ZHANG.replace("2018-05-20", "2018-02-30"), "column birthday: 日期写作"),
        (ZHANG.replace("2018-05-20", "2999-01-01"), "column birthday: 生日不能晚于今天"),
        (ZHANG.replace("L2", "L" * 33), "column level: 级别名称最多 32 个字"),
        (ZHANG.replace("formal", "vip"), "column member_status: 会员状态为"),
        (ZHANG.replace("500.00", "500.001"), "column opening_balance: 金额只能是"),
        (ZHANG.replace("500.00", "NaN"), "column opening_balance: 金额只能是"),
        (ZHANG.replace("500.00", "1e3"), "column opening_balance: 金额只能是"),
        (ZHANG.replace("500.00", "５００"), "column opening_balance: 金额只能是"),
        (ZHANG.replace("500.00", "-20.00"), "column opening_balance: 期初余额不能为负"),
        (ZHANG.replace("500.00", "100000000.00"), "column opening_balance: 金额只能是"),
        (ZHANG.replace("张女士", '"=HYPERLINK(""http://x"")"'), "column parent_name: 单元格是公式"),
        (ZHANG + ",extra", "column -: 这一行的格子比表头多"),
    ],
)
def test_a_wrong_cell_is_named_and_nothing_changes(run, line, error):
    before = counts()

    done = run(LI, line)

    assert done.exit_code == 1
    assert f"line 3, {error}" in done.output
    assert counts() == before


def test_every_error_is_said_at_once(run):
    done = run(ZHANG.replace("500.00", "x"), LI.replace("left", "gone"))

    assert "line 2, column opening_balance" in done.output
    assert "line 3, column member_status" in done.output
    assert "2 处有误" in done.output


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (LI.replace("o-li-1", "o-zhang-1"), "line 3, column openid: 这位家长已在第 2 行归入「张家」"),
        (LI.replace("13900000002", "+86 138-0000-0001"), "line 3, column phone: 这个手机号已在第 2 行"),
        (ZHANG_2.replace(",trial,", ",trial,300.00"), "line 3, column opening_balance: 与第 2 行的 ¥500.00"),
        (ZHANG.replace("张女士", "章女士"), "line 3, column parent_name: 与第 2 行不一致"),
        (ZHANG.replace("L2", "L3"), "line 3, column level: 与第 2 行不一致"),
    ],
)
def test_rows_that_contradict_each_other(run, line, error):
    done = run(ZHANG, line)

    assert done.exit_code == 1
    assert error in done.output
    assert counts()[:4] == (0, 0, 0, 0)


def test_a_balance_repeated_on_each_row_counts_once(run):
    run(ZHANG, ZHANG_2.replace(",trial,", ",trial,500.00"))

    assert balance("张家") == Decimal("500.00")


def test_a_parent_who_signed_in_before_keeps_family_and_wallet(app, run):
    with transaction():
        family_id = add_family_with_parent(openid="o-zhang-1", nickname="小张").family_id

    done = run(ZHANG, ZHANG_2)

    assert done.exit_code == 0, done.output
    assert user("o-zhang-2").family_id == family_id
    assert db.session.get(Family, family_id).name == "张家"
    assert balance("张家") == Decimal("500.00")


def test_a_parent_of_another_family_is_not_moved(run):
    run(ZHANG)
    before = counts()

    done = run(LI.replace("o-li-1", "o-zhang-1").replace("13900000002", ""))

    assert "line 2, column openid: 这位家长已属于「张家」" in done.output
    assert counts() == before


def test_two_names_are_not_one_family(app, run):
    with transaction():
        first = add_family_with_parent(openid="o-zhang-1")
        user_2 = User(family_id=first.family_id, openid="o-li-1", member_status="trial",
                      registered_at=first.registered_at)  # fmt: skip
        db.session.add(user_2)

    done = run(ZHANG, LI)

    assert "line 3, column family: 与「张家」是系统中的同一个家庭" in done.output


def test_a_phone_of_somebody_else_is_refused(run):
    run(ZHANG)

    done = run(LI.replace("13900000002", "13800000001"))

    assert "line 2, column phone: 这个手机号在系统中属于另一位家长" in done.output


def test_hostile_names_stay_text(run):
    done = run(ZHANG.replace("张小明", "<script>alert(1)</script>\u202e明"), '"a\n家",王女士,o-3,,王小,,,,')

    assert done.exit_code == 0, done.output
    assert student("<script>alert(1)</script>明")
    assert balance("a 家") == Decimal("0.00")


def test_quoted_line_breaks_keep_the_line_numbers_right(run):
    done = run('"a\n家",王女士,o-3,,王小,,,,', "", LI.replace("left", "gone"))

    assert "line 5, column member_status" in done.output


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "line 1, column family: 缺少这一列"),
        (HEADER.replace("openid", "open_id").encode(), "line 1, column openid: 缺少这一列"),
        ((HEADER + ",phone\n").encode(), "line 1, column phone: 这一列出现了两次"),
        ((HEADER + "\n").encode() + "张家".encode("gbk"), "line 2, column -: 不是 UTF-8 编码"),
        ((HEADER + '\n"张家,').encode(), "line 2, column -: 引号没有成对"),
        (b"PK\x03\x04 not an archive", "不是完好的 xlsx 文件"),
    ],
)
def test_a_file_that_is_no_table(run, data, error):
    done = run(data=data)

    assert done.exit_code == 1
    assert error in done.output


def xlsx(*rows) -> bytes:
    book = Workbook()
    for row in (COLUMNS, *rows):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_spreadsheet_with_numbers_and_dates(run):
    from datetime import datetime

    rows = [["张家", "张女士", "o-1", 13800000001, "张小明", datetime(2018, 5, 20), "L1", "formal", 500.5],
            ["李家", "李女士", "o-2", None, "李雷", "2017/3/4", None, None, 0]]  # fmt: skip

    done = run(data=xlsx(*rows), name="f.xlsx")

    assert done.exit_code == 0, done.output
    assert (balance("张家"), balance("李家")) == (Decimal("500.50"), Decimal("0.00"))
    assert (user("o-1").phone, student("张小明").birthday) == ("13800000001", "2018-05-20")
    assert student("李雷").birthday == "2017-03-04"


def test_a_damaged_spreadsheet_is_refused(run):
    whole = xlsx(["张家", "张女士", "o-1", "", "张小明", "", "", "", "500"])
    for data in (whole[:-200], whole.replace(b"PK\x05\x06", b"XX\x05\x06"), whole[:300] + b"\0" * 400 + whole[700:]):
        done = run(data=data, name="f.xlsx")
        assert done.exit_code == 1
        assert "不是完好的 xlsx 文件" in done.output
    assert counts()[:4] == (0, 0, 0, 0)


def test_a_formula_in_a_spreadsheet_is_refused(run):
    done = run(data=xlsx(["张家", "张女士", "o-1", "", "张小明", "", "", "", "=1+1"]), name="f.xlsx")

    assert done.exit_code == 1
    assert "line 2, column opening_balance: 单元格是公式" in done.output


def test_five_thousand_rows_take_seconds(run):
    import time

    lines = [f"家庭{n},家长{n},o-{n},{13000000000 + n},学员{n},2018-01-01,L{n % 6},formal,{n}.00" for n in range(5000)]
    # Our own time: a busy machine must not fail what the code does not do.
    began = time.process_time()

    done = run(*lines)

    assert done.exit_code == 0, done.output
    assert db.session.scalar(sa.select(sa.func.count()).select_from(WalletTransaction)) == 4999
    assert time.process_time() - began < 40
