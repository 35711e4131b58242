"""The form behind a manager's wallet controls: one set of fields, `act` says which button was pressed."""

from __future__ import annotations

from wtforms import DateField, HiddenField, StringField
from wtforms.validators import Optional

from app.web.forms_token import TokenForm


class WalletControlForm(TokenForm):
    act = HiddenField()
    reason = StringField("原因", description="会记入审计，并通知财务群。")
    limit = StringField("欠费上限", description="留空即恢复为统一规则。")
    until = DateField("放行至", validators=[Optional()], description="当天结束时自动失效。")
