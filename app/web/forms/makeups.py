"""Forms of 补课安排: shape only; app/domain/makeups decides."""

from __future__ import annotations

from datetime import date

from wtforms import BooleanField, HiddenField, IntegerField, RadioField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from app.errors import Invalid
from app.web.forms_token import TokenForm


class ActForm(TokenForm):
    """What staff say with an act on a credit. `until` stays text, `schedule_id` names the session."""

    schedule_id = HiddenField()
    accept_shorter = HiddenField()
    use_compensation = HiddenField()
    waive_reason = TextAreaField("免扣原因", description="会记入审计。")
    until = StringField("新的有效期")
    reason = TextAreaField("原因")
    text = TextAreaField("答复")

    @property
    def day(self) -> date:
        """The new end. Raises Invalid for what is no day."""
        try:
            found = date.fromisoformat(self.until.data or "")
        except ValueError:
            raise Invalid.field("until", "请选择日期") from None
        if not 2000 <= found.year <= 2199:
            raise Invalid.field("until", "请检查年份")
        return found


class SeveralForm(TokenForm):
    """Students onto one session. Each box stands for what all of the chosen students' parents agreed to."""

    accept_shorter = BooleanField("家长都已同意：少上的时间记为课时补偿")
    use_compensation = BooleanField("家长都已同意：多上的时间用课时补偿抵")


class MinutesForm(TokenForm):
    direction = RadioField("方向", choices=[SelectChoice("1", "增加"), SelectChoice("-1", "减少")], default="1")
    minutes = IntegerField("分钟", validators=[InputRequired("请填写分钟数")], invalid_value_message="请填写整数分钟")
    reason = TextAreaField("原因", validators=[InputRequired("请填写原因")])

    @property
    def signed(self) -> int:
        return int(self.direction.data) * abs(self.minutes.data)
