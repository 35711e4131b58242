"""Forms of the settings: shape only; the policy's own parser and the use cases decide."""

from __future__ import annotations

from wtforms import HiddenField, RadioField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length

from app.web.forms_token import TokenForm


class PolicyForm(TokenForm):
    value = StringField("新值", validators=[InputRequired("请填写新值"), Length(max=200, message="最多 200 个字")])
    reason = TextAreaField(
        "修改原因",
        validators=[InputRequired("请填写修改原因"), Length(max=200, message="最多 200 个字")],
        description="记入审计，今后谁看到这条规则的历史都会看到。",
    )
    #: the value that the form was opened with: the fence against overwriting somebody else's change
    seen = HiddenField()


class SwitchForm(PolicyForm):
    value = RadioField(
        "新值",
        choices=[SelectChoice("on", "开启"), SelectChoice("off", "关闭")],
        validators=[InputRequired("请选择开启或关闭")],
    )


class RejectForm(TokenForm):
    note = TextAreaField(
        "驳回原因", validators=[InputRequired("请填写驳回原因"), Length(max=200, message="最多 200 个字")]
    )
