"""Forms of one's own account."""

from __future__ import annotations

from wtforms import PasswordField, StringField
from wtforms.validators import EqualTo, InputRequired, Length

from app.web.forms_token import DeskForm


class PasswordForm(DeskForm):
    current = PasswordField(
        "现在的密码", validators=[InputRequired("请填写现在的密码"), Length(max=128, message="最多 128 个字符")]
    )
    password = PasswordField("新密码", validators=[InputRequired("请填写新密码")])
    repeat = PasswordField(
        "再输入一次新密码",
        validators=[InputRequired("请再输入一次新密码"), EqualTo("password", message="两次输入的新密码不一致")],
    )


class ConfirmCodeForm(DeskForm):
    code = StringField("6 位验证码", validators=[InputRequired("请填写验证码"), Length(max=64, message="验证码太长")])
