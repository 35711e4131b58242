"""Forms of the calendar and the catalog: shape only; app/domain/catalog and app/domain/changes decide."""

from __future__ import annotations

from datetime import UTC, datetime

from wtforms import (
    BooleanField,
    DateField,
    HiddenField,
    IntegerField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
    TimeField,
)
from wtforms.validators import InputRequired, Optional

from app import clock
from app.errors import Invalid
from app.web import labels
from app.web.forms_token import TokenForm

_NUMBER = "请填写整数"


def _chosen(text: str | None) -> int:
    return int(text) if text else 0


class EditSessionForm(TokenForm):
    """When, where and with whom. `version` is what the person saw."""

    version = HiddenField()
    coach_id = SelectField("教练", coerce=_chosen, validate_choice=False, validators=[InputRequired("请选择教练")])
    venue_id = SelectField("场馆", coerce=_chosen, validate_choice=False, validators=[InputRequired("请选择场馆")])
    day = DateField("日期", validators=[InputRequired("请选择日期")], invalid_value_message="请选择日期")
    time = TimeField(
        "开始时间", validators=[InputRequired("请填写开始时间")], invalid_value_message="请填写开始时间，如 19:00"
    )
    capacity = IntegerField("名额", validators=[InputRequired("请填写名额")], invalid_value_message=_NUMBER)
    waitlist_capacity = IntegerField(
        "候补人数", validators=[Optional()], invalid_value_message=_NUMBER,
        description="留空即按课程或课程类型的设置；0 为不设候补。",
    )  # fmt: skip

    @property
    def starts_at(self) -> datetime:
        """Day and time on the studio's clock. Raises Invalid for a year that no calendar has."""
        if not 2000 <= self.day.data.year <= 2199:
            raise Invalid.field("day", "请检查年份")
        return datetime.combine(self.day.data, self.time.data, clock.STUDIO_ZONE).astimezone(UTC)


class NewSessionForm(EditSessionForm):
    version = None
    course_id = SelectField(
        "课程", coerce=_chosen, validate_choice=False, validators=[InputRequired("请选择课程")],
        description="时长和价格按课程。",
    )  # fmt: skip


class CancelSessionForm(TokenForm):
    reason = TextAreaField("停课原因", description="家长会在通知里看到，如：教练生病、场馆检修。")


class CopyWeekForm(TokenForm):
    """A button with its tokens and the two Mondays that the preview was made for."""

    from_monday = HiddenField()
    to_monday = HiddenField()


#: how a freed seat goes round (Q8), said so that a manager can choose
_POLICY_MEANINGS = {
    "open_then_sequential": "空出名额时同时通知所有候补家长，先确认的得到；没人确认，再从第一位起逐个保留。",
    "sequential": "从第一位起逐个通知、逐个保留；截止前来不及轮完时，再一起通知还没轮到的家长。",
    "auto_promote": "第一位已授权自动确认的家长直接得到名额并扣费；没有授权的家长，仍要自己确认。",
}


class TypeForm(TokenForm):
    name = StringField("名称")
    waitlist_capacity = IntegerField(
        "候补人数", validators=[InputRequired("请填写候补人数，0 为不设候补")], invalid_value_message=_NUMBER,
        description="每节课最多几人候补；课程和课次可单独设定。",
    )  # fmt: skip
    waitlist_policy = RadioField(
        "空出名额时", choices=labels.select_choices("waitlist_policy"), validate_choice=False,
        default="open_then_sequential", description="对保存以后空出的名额生效；正在进行的一轮不变。",
    )  # fmt: skip
    meanings = _POLICY_MEANINGS


class NewTypeForm(TypeForm):
    code = StringField("代码", description="小程序和导入文件里使用，如 regular，建立后不能修改。")
    is_trial = BooleanField("体验课：第一次来上课，用微信支付，不从钱包扣费")


class CourseForm(TokenForm):
    """`price` stays text: app.money parses it."""

    version = HiddenField()
    name = StringField("名称")
    level_id = SelectField("级别", coerce=_chosen, validate_choice=False)
    minutes = IntegerField("时长（分钟）", validators=[InputRequired("请填写时长")], invalid_value_message=_NUMBER)
    price = StringField("价格", validators=[InputRequired("请填写价格")])
    waitlist_capacity = IntegerField(
        "候补人数", validators=[Optional()], invalid_value_message=_NUMBER, description="留空即按课程类型的设置。"
    )


class NewCourseForm(CourseForm):
    version = None
    course_type_id = SelectField(
        "课程类型", coerce=_chosen, validate_choice=False, validators=[InputRequired("请选择课程类型")]
    )


class NameForm(TokenForm):
    name = StringField("名称")
