"""Every list as a file: exactly the list on the screen, as csv or xlsx (U8, U15).

A page offers its list once, beside its view: `offer("orders", "订单", Permission.ORDER_VIEW, _taken, (Column(…), …))`.
Its `_taken` reads the same filters from the address as the view does, and its template hands
`export=export_url("orders")` to the pager, or writes `export_buttons(export_url("orders"))`. One route answers for all
of them: it asks for the permission to export and for the list's own, records what leaves, and streams it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from flask import Blueprint, Response, abort, current_app, request, stream_with_context, url_for

from app import clock
from app.db import db
from app.domain.audit import exports
from app.domain.exporting import service as exporting
from app.domain.exporting.service import Wanted
from app.domain.longjobs import queries as longjob_queries
from app.domain.people.models import Staff
from app.domain.people.roles import ROLE_PERMISSIONS, Permission
from app.errors import Forbidden, Invalid
from app.exports.columns import Column, Kind, Mark
from app.flows import exporting as flow
from app.flows import longjobs
from app.flows.exporting import FORMATS
from app.paging import PIECE, Listing
from app.vault import mask_phone, phone_digits
from app.web import labels
from app.web.permissions import acting_as, can, current_actor, requires
from app.web.rendering import hx_redirect, toast

bp = Blueprint("exports", __name__)

#: of the address, what only says which page of the list is on the screen
PLACE = frozenset({"before", "after", "revision"})

#: filters of the lists in words
_WORDS = {
    "status": "状态", "type": "类型", "payment_method": "收款方式", "asked_by": "经办人编号", "family_id": "家庭编号",
    "date_from": "自", "date_to": "至", "text": "搜索", "unseated": "已付款未占座", "kind": "种类", "channel": "渠道",
    "outcome": "结果", "action": "动作", "actor_type": "经办类型", "actor_id": "经办编号", "target_type": "对象类型",
    "target_id": "对象编号", "request_id": "请求编号", "refund_to": "去向", "show": "分类", "month": "月份",
    "session": "课次编号", "state": "结果", "figure": "统计项", "order_id": "订单", "refund_no": "退款单",
    "method": "打款方式", "on": "日期", "line": "项目", "level": "级别", "coach": "教练编号", "venue": "场馆编号",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Taking:
    """What is taken out: the rows, the filters in words, and whose they are where the list is one family's."""

    rows: Listing | Sequence[Any]
    filters: Mapping[str, str] = field(default_factory=dict)
    family_id: int | None = None

    def count(self) -> int:
        return self.rows.count() if isinstance(self.rows, Listing) else len(self.rows)

    def pieces(self) -> Iterator[Sequence[Any]]:
        """The rows some at a time. A slow reader at the other end holds no connection and no transaction."""
        if not isinstance(self.rows, Listing):
            yield from (self.rows[start : start + PIECE] for start in range(0, len(self.rows), PIECE))
            return
        for piece in self.rows.pieces():
            db.session.rollback()
            yield piece


@dataclass(frozen=True, slots=True)
class Offered:
    """A list that may be taken out by who may see it."""

    name: str
    title: str
    permission: Permission
    take: Callable[[], Taking]
    columns: Sequence[Column]


LISTS: dict[str, Offered] = {}


def offer(
    name: str, title: str, permission: Permission, take: Callable[[], Taking], columns: Sequence[Column]
) -> None:  # fmt: skip
    """Offer a list. `permission` is its page's; `take` reads the filters of the request. Raises ValueError for a name
    that is taken."""
    if name in LISTS:
        raise ValueError(f"two lists are called {name}")
    LISTS[name] = Offered(name, title, permission, take, tuple(columns))


@bp.post("/exports/<name>")
@requires(Permission.EXPORT)
def take(name: str):
    """One list as a file; a POST, since taking it out is recorded (S2)."""
    asked, form = LISTS.get(name), request.form.get("format", "")
    if asked is None:
        abort(404)
    if not can(asked.permission):
        raise Forbidden(data={"permission": str(asked.permission)})
    if form not in FORMATS:
        raise Invalid.field("format", "请选择导出 CSV 或 Excel")
    actor, taking = current_actor(), asked.take()
    filters, rows = dict(taking.filters), taking.count()
    if exporting.is_long(rows):
        wanted = Wanted(name, asked.title, form, request.query_string.decode(), filters, rows, taking.family_id)
        return _by_a_worker(exporting.ask(wanted=wanted, actor=actor))
    exports.note_export(what=name, filters=filters, rows=rows, form=form, actor=actor, family_id=taking.family_id)
    mark = Mark(asked.title, _who(actor.name, actor.role), clock.now(), filters)
    return _file(FORMATS[form].stream(asked.columns, taking.pieces(), mark), name, form)


@bp.post("/exports/files/<int:job_id>")
@requires(Permission.EXPORT)
def fetch(job_id: int):
    """The file that a worker wrote; a POST, since fetching it is recorded too."""
    job = longjob_queries.progress(job_id)
    asked = LISTS.get(job.row.params.get("name", "")) if job is not None and job.row.kind == exporting.KIND else None
    if asked is None:
        abort(404)
    if not can(asked.permission):
        raise Forbidden(data={"permission": str(asked.permission)})
    found = exporting.fetch(job_id=job_id, actor=current_actor())
    return _file(flow.read(found), found.name, found.form)


def _file(content: Iterator[bytes], name: str, form: str) -> Response:
    return Response(
        stream_with_context(content), mimetype=FORMATS[form].MIMETYPE,
        headers={"Content-Disposition": f'attachment; filename="{name}-{clock.today():%Y%m%d}.{form}"'},
    )  # fmt: skip


def _by_a_worker(job_id: int) -> Response:
    longjobs.start(job_id)
    return toast(hx_redirect(url_for("longjobs.show", job_id=job_id)), "行数较多，正在后台生成文件，好了在这里下载")


def _who(name: str, role: str | None) -> str:
    return f"{name}（{labels.word('staff_role', role)}）"


@contextmanager
def _listed(name: str, address: str, person: Staff) -> Iterator[flow.Listed]:
    """A list for the worker that writes it: its filters are read from the address by the page's own function, as the
    person who asked. Raises Forbidden for one whose rights ended since."""
    asked, held = LISTS[name], ROLE_PERMISSIONS.get(person.role, frozenset())
    if not {Permission.EXPORT, asked.permission} <= held:
        raise Forbidden("导出人已没有这项权限，没有生成文件")
    with current_app.test_request_context(query_string=address), acting_as(person):
        taking = asked.take()
        taking.count()  # fixes the ends of the list
        mark = Mark(asked.title, _who(person.display_name, person.role), clock.now(), dict(taking.filters))
        yield flow.Listed(asked.columns, taking.pieces(), mark)


flow.install(_listed)


@bp.app_template_global("export_url")
def export_url(name: str, **filters: Any) -> str | None:
    """Where to post for this list under the filters of this address and these; None for who may not take it."""
    if not can(Permission.EXPORT) or not can(LISTS[name].permission):
        return None
    kept = {key: value for key, value in request.args.items() if value and key not in PLACE}
    return url_for("exports.take", **kept | filters, name=name)


# ── what lists are described with ───────────────────────────────────────────────────────────────────


def labelled(title: str, value: str | Callable[[Any], Any], kind: str) -> Column:
    """A column of states in words (labels.py); empty where there is none."""
    read = Column(title, value).reader()
    return Column(title, lambda row: None if (found := read(row)) is None else labels.word(kind, found))


def place(title: str, number: int, kind: Kind = Kind.TEXT) -> Column:
    """A column of rows that are sequences; empty where a row is shorter."""
    return Column(title, lambda row: row[number] if number < len(row) else None, kind)


def in_words(asked: Any, **kinds: str) -> dict[str, str]:
    """The filters that are in force, of a filter's dataclass or of a mapping: word → value. `kinds` names the table of
    labels of a field. A phone number is masked: it is somebody's."""
    values = dict(asked) if isinstance(asked, Mapping) else asdict(asked)
    said = {}
    for name, value in values.items():
        if value is None or value is False or value == "":
            continue
        said[_WORDS.get(name, name)] = labels.word(kinds[name], value) if name in kinds else _plain(value)
    return said


def _plain(value: Any) -> str:
    text = "是" if value is True else str(value)
    digits = phone_digits(text)
    return mask_phone(digits) or text if len(digits) == 11 and digits.isdigit() else text
