"""课程与场馆: course types, courses, coaches and venues, made, changed and archived in the side panel (C1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, abort, request, url_for
from wtforms.fields.choices import SelectChoice

from app import money
from app.db import db
from app.domain.catalog import courses, lists
from app.domain.catalog.errors import Stale
from app.domain.people import family_queries
from app.domain.people.roles import Permission
from app.errors import Conflict, DomainError, Invalid
from app.web.errors import status_of
from app.web.forms import refusal
from app.web.forms.schedule import CourseForm, NameForm, NewCourseForm, NewTypeForm, TypeForm
from app.web.forms_token import TokenForm, request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import close_panel, hx_redirect, render, toast, wants_fragment
from app.web.schedule.blueprint import bp


@dataclass(frozen=True, slots=True)
class Kind:
    """One list of the page: its word, its rows, its forms, and what each button does."""

    word: str
    rows: Callable[[], list]
    new_form: type[TokenForm]
    form: type[TokenForm]
    create: Callable[..., int]
    update: Callable[..., None]
    #: the name under which the use cases want the row's id
    key: str
    archive: Callable[..., None] | None = None
    restore: Callable[..., None] | None = None


KINDS = {
    "course": Kind("课程", lists.courses, NewCourseForm, CourseForm, courses.create_course, courses.update_course,
                   "course_id", courses.archive_course, courses.restore_course),
    "coach": Kind("教练", lists.coaches, NameForm, NameForm, courses.create_coach, courses.rename_coach, "coach_id",
                  courses.archive_coach, courses.restore_coach),
    "venue": Kind("场馆", lists.venues, NameForm, NameForm, courses.create_venue, courses.rename_venue, "venue_id",
                  courses.archive_venue, courses.restore_venue),
    "type": Kind("课程类型", lists.types, NewTypeForm, TypeForm, courses.create_course_type, courses.update_course_type,
                 "course_type_id"),
}  # fmt: skip


@bp.get("/catalog")
@requires(Permission.SCHEDULE_VIEW)
def catalog():
    """Everything that sessions are made of."""
    return render("catalog/index.html", "catalog/_lists.html", **_lists())


@bp.route("/catalog/<kind>/new", methods=["GET", "POST"])
@requires(Permission.SCHEDULE_EDIT)
def new_entry(kind: str):
    """A new course type, course, coach or venue."""
    what = _kind(kind)
    form = what.new_form()
    _offer(form)
    if request.method != "POST" or not form.validate():
        return _form(kind, form)
    try:
        what.create(**_values(form), actor=current_actor(), request_key=_key(f"catalog.new_{kind}", form))
    except (Invalid, Conflict) as error:
        return _form(kind, form, error=error)
    return _done(f"已新建{what.word}「{form.name.data.strip()}」")


@bp.route("/catalog/<kind>/<int:entry_id>", methods=["GET", "POST"])
@requires(Permission.SCHEDULE_EDIT)
def entry(kind: str, entry_id: int):
    """Change one, or archive it."""
    what, line = _kind(kind), _line(kind, entry_id)
    form = what.form(data=_filled(line))
    _offer(form)
    if request.method != "POST" or not form.validate():
        return _form(kind, form, line)
    try:
        what.update(**{what.key: entry_id}, **_values(form), actor=current_actor())
    except (Invalid, Conflict) as error:
        db.session.rollback()
        line = _line(kind, entry_id)
        if isinstance(error, Stale):
            form.version.data = str(line.version)  # what is sent next is sent in sight of what the page now says
        return _form(kind, form, line, error)
    return _done(f"已保存{what.word}「{form.name.data.strip()}」")


@bp.post("/catalog/<kind>/<int:entry_id>/archive")
@requires(Permission.SCHEDULE_EDIT)
def archive(kind: str, entry_id: int):
    """No new sessions of it; those that are there stay. Archived twice is archived."""
    return _put(kind, entry_id, "archive", "已停用{}「{}」，不能再排新课，已排的课不变")


@bp.post("/catalog/<kind>/<int:entry_id>/restore")
@requires(Permission.SCHEDULE_EDIT)
def restore(kind: str, entry_id: int):
    """It may have new sessions again."""
    return _put(kind, entry_id, "restore", "已恢复{}「{}」")


# ── steps of the views above ────────────────────────────────────────────────────────────────────────


def _kind(kind: str) -> Kind:
    if kind not in KINDS:
        abort(404)
    return KINDS[kind]


def _line(kind: str, entry_id: int) -> Any:
    line = next((one for one in KINDS[kind].rows() if one.id == entry_id), None)
    if line is None:
        abort(404)
    return line


def _put(kind: str, entry_id: int, act: str, sentence: str) -> Response:
    what = _kind(kind)
    use_case, line = getattr(what, act), _line(kind, entry_id)
    if use_case is None:
        abort(404)
    use_case(**{what.key: entry_id}, actor=current_actor())
    return _done(sentence.format(what.word, line.name))


def _filled(line: Any) -> dict[str, Any]:
    """The form's fields of a row."""
    if not isinstance(line, lists.CourseLine):
        return {
            name: getattr(line, name)
            for name in ("name", "waitlist_capacity", "waitlist_policy")
            if hasattr(line, name)
        }
    return {
        "name": line.name, "version": line.version, "level_id": line.level_id or 0, "minutes": line.duration_minutes,
        "price": money.plain(line.price), "waitlist_capacity": line.waitlist_capacity,
    }  # fmt: skip


def _values(form: TokenForm) -> dict[str, Any]:
    """The use case's arguments. Raises Invalid for a price that is none."""
    values = {name: value for name, value in form.data.items() if name not in ("csrf_token", "request_token")}
    if "price" in values:
        values["price"] = money.parse((values["price"] or "").strip(), name="price")
        values["level_id"] = values["level_id"] or None
    if "version" in values:
        text = values["version"] or ""
        values["version"] = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    return values


def _offer(form: TokenForm) -> None:
    if "level_id" in form:
        named = [SelectChoice(str(level_id), name) for level_id, name in family_queries.levels()]
        form.level_id.choices = [SelectChoice("", "不限级别"), *named]
    if "course_type_id" in form:
        named = [SelectChoice(str(one.id), one.name) for one in lists.types()]
        form.course_type_id.choices = [SelectChoice("", "请选择课程类型"), *named]


def _form(kind: str, form: TokenForm, line: Any = None, error: DomainError | None = None) -> Response:
    status = 422 if request.method == "POST" else 200
    if error is not None:
        status = status_of(error)
        if not isinstance(error, Stale):
            refusal.take(form, error)
    return render(
        "catalog/form.html", "catalog/_form.html", status=status, form=form, kind=kind, what=KINDS[kind], line=line,
        moved=error.message if isinstance(error, Stale) else None,
    )  # fmt: skip


def _lists() -> dict[str, Any]:
    return {"types": lists.types(), "courses": lists.courses(), "coaches": lists.coaches(), "venues": lists.venues()}


def _key(name: str, form: TokenForm):
    return request_key(name, form, present=lambda _made: {"location": url_for("schedule.catalog")})


def _done(sentence: str) -> Response:
    """From the side panel the lists behind it are renewed in place; a plain post goes to the page."""
    if not wants_fragment():
        return toast(hx_redirect(url_for("schedule.catalog")), sentence)
    answer = render("catalog/index.html", "catalog/_lists.html", **_lists())
    answer.headers["HX-Retarget"] = "#catalog"
    answer.headers["HX-Reswap"] = "outerHTML"
    return toast(close_panel(answer), sentence)
