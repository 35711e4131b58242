"""Forms of the waitlist: shape only; app/domain/offers decides."""

from __future__ import annotations

from wtforms import BooleanField, HiddenField, StringField, TextAreaField

from app.web.forms_token import TokenForm


class ActForm(TokenForm):
    """What staff say with an act. `position` stays text."""

    reason = TextAreaField("原因", description="记入这个名额的经过，家长问起时会用到。")
    position = StringField("排在第几位")
    note = StringField("家长怎么说")


class AddForm(TokenForm):
    student = HiddenField()
    reason = StringField("超出候补人数的原因", description="队列已满时必须填写；没满可以留空。")
    auto_accept = BooleanField("家长已同意：轮到时自动预约并扣费")
