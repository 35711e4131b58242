"""A student's compensation minutes in the mini program (M8)."""

from __future__ import annotations

from flask import Blueprint

from app.api.v1 import cursors, schedules
from app.api.v1 import makeup_schemas as schemas
from app.api.v1.contract import Call, endpoint
from app.domain.makeups import queries

bp = Blueprint("compensation", __name__, url_prefix="/compensation")
_LIST = "c"


@endpoint(
    bp, "GET", "/balance",
    summary="课时补偿", query=schemas.MinutesQuery, data=schemas.Minutes, errors=("NOT_FOUND",),
)  # fmt: skip
def get_minutes(call: Call) -> schemas.Minutes:
    """一位学员现在可用的课时补偿，先到期的先用。"""
    schedules.check_profile(call, call.query.profile_id)
    lots = queries.lots(call.query.profile_id)
    return schemas.Minutes(
        minutes=sum(lot.minutes_left for lot in lots), lots=[schemas.Lot.model_validate(lot) for lot in lots]
    )


@endpoint(
    bp, "GET", "/history",
    summary="课时补偿明细", query=schemas.HistoryQuery, data=schemas.History, errors=("NOT_FOUND",),
)  # fmt: skip
def list_minutes(call: Call) -> schemas.History:
    """一位学员课时补偿的每次变动，新的在前。"""
    asked, family_id = call.query, call.parent.family_id
    before = cursors.decode(_LIST, asked.cursor)
    schedules.check_profile(call, asked.profile_id)
    found = queries.history(asked.profile_id, before=before, limit=asked.limit)
    page = found[: asked.limit]
    cards = {row.session.id: row.session for row in page if row.session is not None}
    shown = {one.id: one for one in schedules.present(list(cards.values()), family_id=family_id)}
    return schemas.History(
        items=[
            schemas.Change(
                id=row.id, kind=row.kind, kind_text=row.kind_text, minutes=row.minutes, at=row.at,
                schedule=shown[row.session.id] if row.session else None, note=row.note,
            )
            for row in page
        ],
        next_cursor=cursors.encode(_LIST, page[-1].id) if len(found) > asked.limit else None,
    )  # fmt: skip
