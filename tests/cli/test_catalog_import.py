"""`flask catalog import` (95, 96.8): one row a session, all of the file or nothing, as often as one likes."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from openpyxl import Workbook

from app import clock
from app.db import db, transaction
from app.domain.audit.models import AuditEntry
from app.domain.catalog import catalog_import
from app.domain.catalog.import_rows import COLUMNS
from app.domain.catalog.models import Coach, Course, CourseSchedule, CourseType, Venue
from app.domain.people.models import Level
from tests.factories import make_level

HEADER = ",".join(COLUMNS)
NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
MODELS = (CourseType, Course, Coach, Venue, CourseSchedule, Level, AuditEntry)


def line(**more: str) -> str:
    cells = {
        "course_type": "regular", "course_type_name": "正式课", "waitlist_capacity": "8", "is_trial": "0",
        "course": "少儿体操 L2", "level": "L2", "duration_minutes": "60", "price": "200.00", "coach": "江教练",
        "venue": "一号馆", "starts_at": "2026-12-01 19:00", "capacity": "6",
    } | more  # fmt: skip
    return ",".join(cells[name] for name in COLUMNS)


@pytest.fixture
def run(app, tmp_path):
    def run(*lines: str, args: tuple[str, ...] = (), bom: bool = False, data: bytes | None = None, name="f.csv"):
        file = tmp_path / name
        text = "\n".join((HEADER, *lines)) + "\n"
        file.write_bytes(data if data is not None else text.encode("utf-8-sig" if bom else "utf-8"))
        with clock.travel(to=NOW):
            done = app.test_cli_runner().invoke(args=["catalog", "import", str(file), *args])
        db.session.rollback()
        return done

    return run


def counts() -> tuple[int, ...]:
    return tuple(db.session.scalar(sa.select(sa.func.count()).select_from(model)) for model in MODELS)


def refused(done, *sentences: str) -> bool:
    """The command said exactly this, and nothing changed."""
    said = [text for text in done.output.splitlines() if text.startswith("line ")]
    assert done.exit_code == 1, done.output
    assert len(said) == len(sentences), done.output
    assert all(text.startswith(start) for text, start in zip(said, sentences, strict=True)), done.output
    return not any(counts())


def session(starts_at: str = "2026-12-01T19:00:00+08:00") -> CourseSchedule:
    moment = datetime.fromisoformat(starts_at)
    query = sa.select(CourseSchedule).where(CourseSchedule.starts_at == moment)
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


def set_on(row, **values) -> None:
    with transaction():
        for name, value in values.items():
            setattr(db.session.get(type(row), row.id), name, value)


# ── what a file makes ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bom", [False, True])
def test_what_is_missing_is_made(run, bom):
    done = run(line(), line(starts_at="2026-12-08 19:00", capacity="8"), bom=bom)
    assert done.exit_code == 0, done.output
    assert "课次 2 节，其中新建 2 节，更新 0 节" in done.output
    made = session()
    assert made.starts_at == datetime(2026, 12, 1, 11, tzinfo=UTC)
    assert made.ends_at - made.starts_at == timedelta(hours=1)
    assert (made.capacity, made.status, made.booked, made.version) == (6, "scheduled", 0, 1)
    course = db.session.get(Course, made.course_id)
    assert (course.name, course.price, course.duration_minutes) == ("少儿体操 L2", Decimal("200.00"), 60)
    assert db.session.get(Level, course.level_id).name == "L2"
    kind = db.session.get(CourseType, course.course_type_id)
    assert (kind.code, kind.name, kind.waitlist_capacity, kind.is_trial) == ("regular", "正式课", 8, False)
    assert db.session.get(Coach, made.coach_id).name == "江教练"
    assert counts()[:5] == (1, 1, 1, 1, 2)
    row = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "catalog.imported")).one()
    assert (row.after["sessions"], row.after["new_sessions"], row.after["new_coaches"]) == (2, 2, 1)


def test_a_spreadsheet_is_a_file_too(run):
    book = Workbook()
    book.active.append(list(COLUMNS))
    book.active.append(
        ["vip", "私教课", 5, 0, "一对一", None, 45.0, 480.5, "白教练", "二号馆", datetime(2026, 12, 1, 19, 0, 30), 1]
    )
    data = io.BytesIO()
    book.save(data)
    done = run(data=data.getvalue(), name="f.xlsx")
    assert done.exit_code == 0, done.output
    made = session("2026-12-01T19:00:30+08:00")
    course = db.session.get(Course, made.course_id)
    assert (course.price, course.level_id, made.capacity) == (Decimal("480.50"), None, 1)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-01 19:00", "2026-12-01T11:00:00+00:00"),
        ("2026-12-01 19:00:59", "2026-12-01T11:00:59+00:00"),
        ("2026-12-01T19:00", "2026-12-01T11:00:00+00:00"),
        ("2026/12/1 9:05", "2026-12-01T01:05:00+00:00"),
        ("2026-12-01T19:00:07+08:00", "2026-12-01T11:00:07+00:00"),
        ("2026-12-01T11:00Z", "2026-12-01T11:00:00+00:00"),
        ("2026-12-01T11:00:00.250Z", "2026-12-01T11:00:00.250000+00:00"),
        ("2026-12-01 06:30-0430", "2026-12-01T11:00:00+00:00"),
        ("2026-12-01 19:00+08", "2026-12-01T11:00:00+00:00"),
    ],
)
def test_local_times_and_times_with_offset(run, text, moment):
    assert run(line(starts_at=text)).exit_code == 0
    assert session(moment)


def test_the_past_is_accepted_as_history(run):
    assert run(line(starts_at="2024-03-02 10:00")).exit_code == 0
    assert session("2024-03-02T10:00:00+08:00").status == "scheduled"


def test_missing_levels_are_made_in_name_order_above_those_there(run):
    make_level("L2", 1)
    courses = ["L10", "L9", "l2", "L3", ""]
    done = run(*(
        line(course=f"课{n}", level=level, starts_at=f"2026-12-01 {9 + n}:00") for n, level in enumerate(courses)
    ))  # fmt: skip
    assert done.exit_code == 0, done.output
    assert list(db.session.scalars(sa.select(Level.name).order_by(Level.rank))) == ["L2", "L3", "L9", "L10"]
    assert db.session.scalars(sa.select(Course.level_id).where(Course.name == "课4")).one() is None


def test_a_type_that_says_little_gets_the_usual(run):
    later = line(starts_at="2026-12-02 19:00", course_type_name="正式", waitlist_capacity="0", is_trial="1")
    done = run(line(course_type_name="", waitlist_capacity="", is_trial=""), later)
    assert done.exit_code == 0, done.output
    kind = db.session.scalars(sa.select(CourseType)).one()
    assert (kind.name, kind.waitlist_capacity, kind.is_trial) == ("正式", 0, True)
    assert run(line(course_type="other", course_type_name="", waitlist_capacity="", is_trial="", course="x",
                    starts_at="2026-12-03 19:00")).exit_code == 0  # fmt: skip
    other = db.session.scalars(sa.select(CourseType).where(CourseType.code == "other")).one()
    assert (other.name, other.waitlist_capacity, other.is_trial) == ("other", 8, False)


def test_a_file_without_rows_makes_nothing(run):
    done = run()
    assert done.exit_code == 0, done.output
    assert "课次 0 节" in done.output
    assert not any(counts()[:-1])


# ── again ───────────────────────────────────────────────────────────────────────────────────────────


def test_run_again_it_changes_nothing(run):
    file = [line(), line(starts_at="2026-12-08 19:00")]
    run(*file)
    before, version = counts()[:-1], session().version
    done = run(*file)
    assert done.exit_code == 0, done.output
    assert "课次 2 节，其中新建 0 节，更新 0 节" in done.output
    assert (counts()[:-1], session().version) == (before, version)


def test_what_is_there_is_updated_by_its_names(run):
    run(line())
    first = session()
    done = run(line(capacity="9", price="260.00", course_type_name="常规课", waitlist_capacity="3", level="L3",
                    duration_minutes="90"), line(starts_at="2026-12-02 19:00", price="260.00",
                    course_type_name="常规课", waitlist_capacity="3", level="L3", duration_minutes="90"))  # fmt: skip
    assert done.exit_code == 0, done.output
    now = session()
    assert (now.id, now.capacity, now.version) == (first.id, 9, 2)
    assert now.ends_at - now.starts_at == timedelta(minutes=90)
    course = db.session.scalars(sa.select(Course)).one()
    assert (course.price, course.duration_minutes, course.version) == (Decimal("260.00"), 90, 2)
    assert db.session.scalars(sa.select(CourseType.waitlist_capacity)).one() == 3
    price = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "course.updated")).one()
    assert (price.before["price"], price.after["price"]) == ("200.00", "260.00")
    changed = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "schedule.updated")).one()
    assert (changed.before["capacity"], changed.after["capacity"]) == (6, 9)


def test_empty_cells_leave_what_is_there(run):
    run(line())
    done = run(line(course_type_name="", waitlist_capacity="", is_trial="", level=""))
    assert done.exit_code == 0, done.output
    kind = db.session.scalars(sa.select(CourseType)).one()
    assert (kind.name, kind.waitlist_capacity) == ("正式课", 8)
    assert db.session.scalars(sa.select(Course.level_id)).one() is not None


def test_a_booked_session_keeps_its_time(run):
    run(line())
    set_on(session(), booked=1)
    assert run(line(duration_minutes="90")).exit_code == 0
    assert session().ends_at - session().starts_at == timedelta(hours=1)
    assert db.session.scalars(sa.select(Course.duration_minutes)).one() == 90


@pytest.mark.parametrize("column", ["booked", "held", "kept"])
def test_a_capacity_never_goes_below_the_taken_seats(run, column):
    run(line(), line(starts_at="2026-12-02 19:00"))
    set_on(session(), **{column: 4})
    before = counts()
    done = run(line(starts_at="2026-12-02 19:00", capacity="5"), line(capacity="3"))
    assert done.exit_code == 1
    assert "line 3, column capacity: 这节课已有 4 个座位" in done.output
    assert (counts(), session().capacity, session("2026-12-02T19:00:00+08:00").capacity) == (before, 6, 6)
    assert run(line(capacity="4")).exit_code == 0
    assert session().capacity == 4


def test_a_seat_taken_between_look_and_lock_is_seen(run, monkeypatch):
    run(line())
    looked = catalog_import._plan

    def slow(lines):
        plan = looked(lines)
        db.session.execute(sa.update(CourseSchedule).values(booked=5))
        return plan

    monkeypatch.setattr(catalog_import, "_plan", slow)
    done = run(line(capacity="4"))
    assert done.exit_code == 1
    assert "line 2, column capacity: " in done.output
    assert (session().capacity, session().booked) == (6, 0)


def test_seats_added_for_single_students_stay_on_top(run):
    run(line())
    set_on(session(), capacity=7, override_seats=1, booked=7)
    done = run(line())
    assert done.exit_code == 0, done.output
    assert "更新 0 节" in done.output
    assert (session().capacity, session().booked) == (7, 7)
    assert run(line(capacity="999")).exit_code == 1


def test_a_cancelled_session_stays_cancelled(run):
    run(line())
    set_on(session(), status="cancelled")
    done = run(line(capacity="9"))
    assert done.exit_code == 0, done.output
    assert "已取消保持不变 1 节" in done.output
    assert (session().status, session().capacity) == ("cancelled", 6)
    # Its coach is free for another class then.
    assert run(line(), line(course="另一门")).exit_code == 0


def test_one_made_anew_counts_before_the_cancelled_one(run):
    run(line())
    old = session()
    set_on(old, status="cancelled")
    with transaction():
        db.session.add(CourseSchedule(
            course_id=old.course_id, coach_id=old.coach_id, venue_id=old.venue_id, starts_at=old.starts_at,
            ends_at=old.ends_at, capacity=6, created_at=NOW,
        ))  # fmt: skip
    done = run(line(capacity="9"))
    assert "更新 1 节，已取消保持不变 0 节" in done.output
    assert sorted(db.session.scalars(sa.select(CourseSchedule.capacity))) == [6, 9]


def test_dry_run_changes_nothing(run):
    done = run(line(), args=("--dry-run",))
    assert done.exit_code == 0
    assert "试运行" in done.output
    assert "课次 1 节，其中新建 1 节" in done.output
    assert not any(counts())
    assert run(line(capacity="x"), args=("--dry-run",)).exit_code == 1


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("column", "text", "says"),
    [
        ("course_type", "", "请填写课程类型代码"), ("course_type", "正式", "代码为"),
        ("course_type", "a" * 33, "代码为"),
        ("course_type_name", "名" * 65, "课程类型名称最多 64 个字"), ("waitlist_capacity", "100", "候补人数为 0–99"),
        ("waitlist_capacity", "many", "请填写整数"), ("is_trial", "yes", "体验课标记为 0 或 1"),
        ("course", "", "请填写课程名称"), ("level", "L" * 33, "级别名称最多 32 个字"),
        ("duration_minutes", "", "请填写时长"), ("duration_minutes", "0", "时长（分钟）为 1–1440"),
        ("duration_minutes", "60.5", "请填写整数"), ("price", "", "请填写价格"), ("price", "-1", "金额只能是"),
        ("price", "1.005", "金额只能是"), ("price", "２００", "金额只能是"), ("coach", "", "请填写教练姓名"),
        ("coach", "名" * 65, "教练姓名最多 64 个字"), ("venue", "", "请填写场馆名称"),
        ("starts_at", "", "请填写开始时间"),
        ("starts_at", "2026-12-01", "开始时间写作"), ("starts_at", "下周三", "开始时间写作"),
        ("starts_at", "2026-02-30 19:00", "没有这个日期或时间"),
        ("starts_at", "2026-12-01 24:00", "没有这个日期或时间"),
        ("starts_at", "2026-12-01 19:00+25:00", "没有这个日期或时间"), ("starts_at", "1999-12-01 19:00", "年份为"),
        ("starts_at", "２０２６-12-01 19:00", "开始时间写作"), ("capacity", "", "请填写人数上限"),
        ("capacity", "0", "人数上限为 1–999"), ("capacity", "1000", "人数上限为 1–999"),
        ("capacity", "-6", "请填写整数"),
        ("capacity", "٦", "请填写整数"), ("coach", "=SUM(A1)", "单元格是公式"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be(run, column, text, says):
    wrong = line(**({"starts_at": "2026-12-03 19:00"} | {column: text}))
    assert refused(run(line(), wrong), f"line 3, column {column}: {says}")


def test_an_error_in_row_900_changes_nothing(run):
    rows = [
        line(starts_at=(NOW + timedelta(hours=n)).isoformat(), capacity="x" if n == 898 else "6") for n in range(1200)
    ]
    assert refused(run(*rows), "line 900, column capacity: ")


def test_every_error_is_told_in_order(run):
    done = run(line(price="x", capacity="0"), line(starts_at="2026-12-02 19:00"), line(coach="", starts_at="?"))
    assert refused(done, "line 2, column price: ", "line 2, column capacity: ", "line 4, column coach: ",
                   "line 4, column starts_at: ")  # fmt: skip
    assert "4 处有误" in done.output


def test_rows_that_contradict_each_other(run):
    other = "2026-12-02 19:00"
    assert refused(run(line(), line(starts_at=other, course_type_name="别的")), "line 3, column course_type_name: ")
    assert refused(
        run(line(), line(starts_at=other, is_trial="1")), "line 3, column is_trial: 与第 2 行起的「0」不一致"
    )
    assert refused(run(line(), line(starts_at=other, waitlist_capacity="5")), "line 3, column waitlist_capacity: ")
    assert refused(run(line(), line(starts_at=other, price="210")), "line 3, column price: 与第 2 行起的「200.00」")
    assert refused(run(line(), line(starts_at=other, level="L3")), "line 3, column level: ")
    assert refused(run(line(), line(starts_at=other, duration_minutes="90")), "line 3, column duration_minutes: ")
    assert refused(run(line(), line()), "line 3, column starts_at: 与第 2 行是同一节课")
    assert refused(run(line(), line(course_type="b", starts_at=other)), "line 3, column course_type_name: 这个名称已是")


def test_double_bookings_inside_the_file(run):
    done = run(line(), line(starts_at="2026-12-01 19:30", venue="二号馆"),
               line(starts_at="2026-12-01 18:30", coach="白教练"))  # fmt: skip
    assert refused(done, "line 3, column coach: 教练「江教练」12月01日 19:00–20:00 已有第 2 行的「少儿体操 L2」",
                   "line 4, column venue: 场馆「一号馆」12月01日 19:00–20:00 已有第 2 行的")  # fmt: skip
    assert run(line(), line(starts_at="2026-12-01 20:00"), line(starts_at="2026-12-01 18:00")).exit_code == 0


def test_double_bookings_with_what_is_there(run):
    run(line())
    before = counts()
    done = run(line(starts_at="2026-12-01 19:59:59", venue="二号馆"))
    assert done.exit_code == 1
    assert "line 2, column coach: 教练「江教练」12月01日 19:00–20:00 已有系统中的" in done.output
    assert counts() == before
    # Longer now, the class of the file runs into one that the file does not name.
    assert run(line(starts_at="2026-12-01 20:00")).exit_code == 0
    done = run(line(duration_minutes="61"))
    assert done.exit_code == 1
    assert "column coach" in done.output
    assert "column venue" in done.output


def test_archived_things_have_no_new_sessions_but_a_past(run):
    run(line())
    for model, column in ((Coach, "coach"), (Venue, "venue"), (Course, "course")):
        row = db.session.scalars(sa.select(model)).one()
        set_on(row, archived_at=NOW)
        done = run(line(starts_at="2026-12-02 19:00"))
        assert done.exit_code == 1
        assert f"line 2, column {column}: " in done.output
        assert "已停用" in done.output
        assert run(line(), line(starts_at=f"2025-0{len(column)}-01 10:00")).exit_code == 0
        set_on(row, archived_at=None)


def test_the_trial_flag_stays_where_seats_are_taken(run):
    run(line())
    assert run(line(is_trial="1")).exit_code == 0
    set_on(session(), booked=1)
    done = run(line(is_trial="0"))
    assert done.exit_code == 1
    assert "line 2, column is_trial: 这个类型的课次已有预约" in done.output
    assert db.session.scalars(sa.select(CourseType.is_trial)).one() is True
    assert run(line(is_trial="1")).exit_code == 0


def test_a_name_of_another_type(run):
    run(line())
    done = run(line(course_type="b", starts_at="2026-12-02 19:00"))
    assert done.exit_code == 1
    assert "line 2, column course_type_name: 这个名称已是课程类型「regular」的" in done.output


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", "课,时\n".encode("gbk"), b"PK\x03\x04 no"])
def test_what_is_no_table(run, data):
    done = run(data=data)
    assert done.exit_code == 1
    assert done.output.startswith("line 1, column ")
    assert not any(counts())


def test_hostile_text_stays_text(run):
    done = run(line(course="<script>alert(1)</script>", coach="\u202e江\x07教练", venue="'; DROP TABLE venues; --"))
    assert done.exit_code == 0, done.output
    assert db.session.scalars(sa.select(Coach.name)).one() == "江教练"
    assert db.session.scalars(sa.select(Course.name)).one() == "<script>alert(1)</script>"


def test_five_thousand_rows_take_seconds_and_few_questions(run, statements):
    rows = [
        line(course=f"课程{n % 20}", coach=f"教练{n % 10}", venue=f"{n % 10}号馆",
             starts_at=f"{NOW + timedelta(hours=2 * (n // 10)):%Y-%m-%dT%H:%M:%SZ}")
        for n in range(5000)
    ]  # fmt: skip
    began = time.monotonic()
    done = run(*rows)
    assert done.exit_code == 0, done.output
    assert db.session.scalar(sa.select(sa.func.count()).select_from(CourseSchedule)) == 5000
    assert time.monotonic() - began < 30
    assert len(statements) < 250
    statements.clear()
    assert "新建 0 节，更新 0 节" in run(*rows).output
    assert len(statements) < 60
