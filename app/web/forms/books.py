"""The form that signs a day: shape only; app/domain/books decides."""

from __future__ import annotations

from wtforms import HiddenField, StringField, TextAreaField

from app.domain.books.rules import RECONCILE
from app.domain.books.tills import METHODS
from app.web.forms_token import TokenForm


class CloseForm(TokenForm):
    """W25. `seen` is the digest of the figures on the page; each `cause_…` explains one difference."""

    counted_cash = StringField("清点的现金净额", description="当天收到的现金减去付出的现金；付出多于收到时写 -200.00。")
    note = TextAreaField("备注")
    seen = HiddenField()

    @property
    def causes(self) -> dict[str, str]:
        """Key of the line → what was written."""
        return {key: self[f"cause_{key}"].data or "" for key in (*METHODS, RECONCILE)}


for _key in (*METHODS, RECONCILE):
    setattr(CloseForm, f"cause_{_key}", StringField("差异原因"))
