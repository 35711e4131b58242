"""The form that notes a payment to a parent: shape only; app/domain/withdrawals decides."""

from __future__ import annotations

from flask_wtf.file import MultipleFileField
from wtforms import HiddenField, RadioField, StringField, TextAreaField

from app.domain.withdrawals import rules
from app.web import labels
from app.web.forms_token import TokenForm


class PayForm(TokenForm):
    """W21. `version` is what the person saw."""

    method = RadioField(
        "打款方式", choices=labels.select_choices("payment_method", *rules.METHODS), validate_choice=False
    )
    external_no = StringField("转账单号", description="回单上的单号，同一单号只能登记一次；现金留空。")
    note = TextAreaField("说明", description="付现金时必填：谁在什么时候当面交给了谁。只有员工能看到。")
    receipts = MultipleFileField("凭证")
    version = HiddenField()
