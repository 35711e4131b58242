"""The form that does one thing to several rows: shape only; app/domain/chosen decides."""

from __future__ import annotations

from wtforms import DateField, HiddenField, TextAreaField
from wtforms.validators import Optional

from app.web.forms_token import TokenForm


class ChoiceForm(TokenForm):
    """U15. `digest` is of the rows that the person saw."""

    note = TextAreaField("说明")
    until = DateField("有效期至", validators=[Optional()])
    digest = HiddenField()
