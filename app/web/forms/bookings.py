"""Forms of bookings: shape only; app/domain/bookings decides."""

from __future__ import annotations

from wtforms import HiddenField, StringField, TextAreaField

from app.web.forms_token import TokenForm

#: what a button may say of the money when a booking is cancelled after the cutoff
KEEP, REFUND, ASK = "keep", "refund", "ask"


class BookForm(TokenForm):
    """What the confirmation showed: `price` is what the person saw."""

    student = HiddenField()
    session = HiddenField()
    price = HiddenField()
    override_reason = StringField("加座原因", description="会记入审计，并写在这个预约上。")


class CancelForm(TokenForm):
    """After the cutoff each button says by `money` what becomes of the money; in time there is nothing to choose."""

    # An area: Enter in a line would press the first button for a person who is still writing.
    reason = TextAreaField("原因", description="家长会在取消通知里看到。")


class LeaveForm(TokenForm):
    reason = StringField("原因", description="记在这个预约上，只有员工能看到。")


class LateRefundForm(TokenForm):
    note = TextAreaField("驳回原因")
