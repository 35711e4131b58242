"""Forms of sheets of adjustments: shape only; app/domain/desk decides."""

from __future__ import annotations

from flask_wtf.file import FileField
from wtforms import StringField, TextAreaField
from wtforms.validators import InputRequired

from app.web.forms_token import TokenForm


class SheetForm(TokenForm):
    sheet = FileField("表格文件", validators=[InputRequired()], description="xlsx，或 UTF-8 编码的 csv。")


class BatchForm(TokenForm):
    """Every button of one batch; each reads its own field."""

    note = StringField("这批调整是什么", description="审批的同事和审计会看到，例如「十一月老带新奖励」。")
    repeat_reason = StringField("为什么再办一次")
    reason = TextAreaField("原因")
