"""Forms of the family page: shape and range only; the use cases decide."""

from __future__ import annotations

from wtforms import DateField, HiddenField, SelectField, StringField, TextAreaField
from wtforms.validators import Length, Optional

from app.web.forms_token import TokenForm
from app.web.labels import select_choices


class StudentForm(TokenForm):
    level_id = SelectField("级别", validators=[Optional()], description="保存后即为已确认，预约按此级别判断。")
    status = SelectField("状态", choices=select_choices("profile_status"))
    notes = TextAreaField(
        "备注", validators=[Optional(), Length(max=500, message="备注最多 500 个字")], description="只有员工能看到。"
    )


class MemberStatusForm(TokenForm):
    member_status = SelectField("会员状态", choices=select_choices("member_status"))
    enrolled_on = DateField("入会日期", validators=[Optional()], description="成为正式会员时填写，不填即为今天。")


class MergeForm(TokenForm):
    """`seen` holds both wallets' versions that the confirmation showed."""

    to_family_id = HiddenField()
    seen = HiddenField()
    reason = StringField("原因", description="记入两家的审计，并通知资金群。")


class MoveForm(MergeForm):
    """`amount` stays text: app.money parses it."""

    reason = StringField("原因", description="记入两家的审计。")
    amount = StringField("随转余额", description="从原家庭钱包划出多少，留空即不划转。")
