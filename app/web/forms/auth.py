"""Forms of signing in and of proving oneself again."""

from __future__ import annotations

from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length

from app.web.forms_token import DeskForm


class SignInForm(DeskForm):
    next = HiddenField()
    username = StringField(
        "用户名", validators=[InputRequired("请填写用户名"), Length(max=64, message="用户名最多 64 个字符")]
    )
    password = PasswordField(
        "密码", validators=[InputRequired("请填写密码"), Length(max=128, message="密码最多 128 个字符")]
    )


class CodeForm(DeskForm):
    code = StringField("验证码", validators=[InputRequired("请填写验证码"), Length(max=64, message="验证码太长")])


class ProofForm(DeskForm):
    next = HiddenField()
    secret = PasswordField(
        "密码或动态验证码",
        validators=[InputRequired("请填写密码或验证码"), Length(max=128, message="最多 128 个字符")],
    )
