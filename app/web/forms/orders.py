"""Forms of orders, refunds and exceptions: shape only; app/domain/orders decides."""

from __future__ import annotations

from flask_wtf.file import MultipleFileField
from wtforms import BooleanField, HiddenField, RadioField, StringField, TextAreaField
from wtforms.validators import InputRequired

from app.web import labels
from app.web.forms_token import TokenForm

#: everything but 「无」: money that changes hands leaves a trace
_METHODS = ("cash", "wechat_transfer", "alipay", "bank_transfer", "pos")


class RefundForm(TokenForm):
    """O14. `amount` stays text: app.money parses it; `refund_to` gets its choices from what is given back."""

    transaction_id = HiddenField()
    amount = StringField("退款金额", validators=[InputRequired()])
    refund_to = RadioField("退到", choices=[], validate_choice=False)
    reason = StringField("退款原因", description="家长会在退款通知里看到。")
    note = TextAreaField("内部备注", description="只有员工能看到。")
    frees_seat = BooleanField("批准后释放座位，预约随之取消")


class HandForm(TokenForm):
    """Money by hand, in or out: how, its number and receipt, and who gave it to whom."""

    method = RadioField("方式", choices=labels.select_choices("payment_method", *_METHODS), validate_choice=False)
    external_no = StringField("单号", description="转账或刷卡单号；现金留空。")
    receipts = MultipleFileField("凭证")
    note = TextAreaField("说明")
    version = HiddenField()


class NoteForm(TokenForm):
    """A decision in words; `version` is what the person saw."""

    note = TextAreaField("说明")
    version = HiddenField()


class QuestionForm(TokenForm):
    """WeChat's number of a payment, as the parent's phone shows it."""

    transaction_id = StringField("微信支付交易单号")
