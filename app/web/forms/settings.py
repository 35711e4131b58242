"""Forms of the settings: shape only; the policy's own parser and the use cases decide."""

from __future__ import annotations

import re

from wtforms import HiddenField, RadioField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, ValidationError

from app.web.forms_token import TokenForm
from app.web.policy_words import UNITS

_LETTERS = {word: letter for letter, word in UNITS.items()} | {"分": "m"}


def as_stored(text: str | None) -> str | None:
    """What a person writes as the policy keeps it: 「15 分钟」 is 15m, 「不设」 is off. The rest as it is."""
    found = re.fullmatch(r"\s*(\d+)\s*(秒|分钟?|小时|天)\s*", text or "", re.ASCII)
    if found:
        return found[1] + _LETTERS[found[2]]
    return "off" if text is not None and text.strip() == "不设" else text


class PolicyField(StringField):
    """A figure in the words in which people write it; `data` is as stored."""

    def _value(self) -> str:
        found = re.fullmatch(r"(\d+)([smhd])", self.data or "", re.ASCII)
        return f"{found[1]} {UNITS[found[2]]}" if found else super()._value()


class PolicyForm(TokenForm):
    value = PolicyField(
        "新值",
        validators=[InputRequired("请填写新值"), Length(max=200, message="最多 200 个字")],
        filters=[as_stored],
    )
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


class ScopeForm(PolicyForm):
    """For whom a capability is open (Z15), without the command's way of writing it."""

    #: what the other three come to
    value = HiddenField()
    scope = RadioField(
        "对谁开放",
        choices=[SelectChoice("all", "全部家庭"), SelectChoice("percent", "一部分"),
                 SelectChoice("families", "指定家庭"), SelectChoice("off", "不开放")],
        validators=[InputRequired("请选择对谁开放")],
    )  # fmt: skip
    percent = StringField("一部分：百分之几的家庭", description="1 到 99。增加时只会加入新的家庭，已开放的一直在内。")
    families = StringField("指定家庭：家庭编号", description="用逗号分开，如 12,57。编号在家庭页面的地址里。")

    @classmethod
    def of(cls, value: str) -> ScopeForm:
        """The form with the value in force in it, or with what was posted."""
        scope = "families" if value.startswith("families:") else "percent" if value.endswith("%") else value
        number, families = value.removesuffix("%"), value.removeprefix("families:")
        return cls(data={"value": value, "seen": value, "scope": scope, "percent": number if scope == "percent" else "",
                         "families": families if scope == "families" else ""})  # fmt: skip

    def validate(self, extra_validators=None) -> bool:
        self.percent.data = (self.percent.data or "").strip().removesuffix("%")
        self.families.data = re.sub(r"[\s,，、]+", ",", self.families.data or "").strip(",")
        written = {"percent": f"{self.percent.data}%", "families": f"families:{self.families.data}"}
        self.value.data = written.get(self.scope.data, self.scope.data)
        return super().validate(extra_validators)

    def validate_percent(self, field) -> None:
        if self.scope.data == "percent" and not re.fullmatch(r"[1-9][0-9]?", field.data, re.ASCII):
            raise ValidationError("请填写 1 到 99 的整数；全部家庭请选「全部家庭」")

    def validate_families(self, field) -> None:
        if self.scope.data == "families" and not re.fullmatch(r"[1-9][0-9]*(,[1-9][0-9]*)*", field.data, re.ASCII):
            raise ValidationError("请填写至少一个家庭编号，用逗号分开")


class RejectForm(TokenForm):
    note = TextAreaField(
        "驳回原因", validators=[InputRequired("请填写驳回原因"), Length(max=200, message="最多 200 个字")]
    )
