"""Forms of staff accounts: shape and range only; the use cases decide."""

from __future__ import annotations

from wtforms import IntegerField, RadioField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from app.web.forms_token import TokenForm
from app.web.labels import select_choices

_NAME = [InputRequired("请填写姓名"), Length(max=64, message="姓名最多 64 个字")]


def _why(sentence: str) -> list:
    return [InputRequired(sentence), Length(max=200, message="最多 200 个字")]


class NewStaffForm(TokenForm):
    display_name = StringField(
        "姓名", validators=[InputRequired("请填写姓名"), Length(max=64, message="姓名最多 64 个字")]
    )
    username = StringField(
        "用户名",
        validators=[InputRequired("请填写用户名"), Length(max=32, message="用户名最多 32 位")],
        description="小写字母、数字、点、横线或下划线，登录时使用，建立后不能修改。",
    )
    role = RadioField(
        "角色",
        choices=select_choices("staff_role"),
        validators=[InputRequired("请选择角色")],
        description="前台、审计立即生效；财务、店长、管理员先按前台开通，由另一位管理员或店长批准后生效。",
    )


class EditForm(TokenForm):
    display_name = StringField(
        "姓名", validators=[InputRequired("请填写姓名"), Length(max=64, message="姓名最多 64 个字")]
    )
    family_id = IntegerField(
        "本人家庭编号",
        validators=[Optional(), NumberRange(1, 10**15, "请填写家庭编号")],
        invalid_value_message="请填写家庭编号",
        description="员工自己的孩子在馆里上课时填写。任何人都不能为自己的家庭调整余额或审批。",
    )


class RoleForm(TokenForm):
    role = SelectField("新角色", choices=select_choices("staff_role"), validators=[InputRequired("请选择角色")])
    reason = TextAreaField(
        "变更原因", validators=[InputRequired("请填写变更原因"), Length(max=200, message="最多 200 个字")]
    )


class ReasonForm(TokenForm):
    reason = TextAreaField("原因", validators=_why("请填写原因"))


class NoteForm(TokenForm):
    note = TextAreaField(
        "驳回原因", validators=[InputRequired("请填写驳回原因"), Length(max=200, message="最多 200 个字")]
    )


class PlainForm(TokenForm):
    """A button with its tokens."""
