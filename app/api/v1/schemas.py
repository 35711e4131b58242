"""The shapes of the contract (95): what is asked and what is answered, field by field.

Titles are the Chinese names that errors and the readable document use.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from app.api.v1 import fields as f
from app.domain.ledger.models import TransactionType
from app.domain.outbox.kinds import KINDS, SWITCHABLE
from app.domain.questions.models import QuestionStatus


class Request(BaseModel):
    """Unknown fields are ignored, known ones are taken strictly."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Answer(BaseModel):
    """Every field is always present, null where there is nothing."""

    model_config = ConfigDict(from_attributes=True)


class Nothing(Answer):
    """An empty object."""


# ── sign-in and me ──────────────────────────────────────────────────────────────────────────────────


class LoginBody(Request):
    code: f.Secret = Field(title="登录凭证", description="wx.login 给出的 code，一次有效", examples=["0a3Xyz…"])
    nickname: f.Nickname = Field(None, title="昵称", examples=["小雨妈妈"])
    consent_version: str | None = Field(
        None,
        title="隐私同意版本",
        description="家长同意了哪一版儿童个人信息处理规则；同意时传，服务器记下时间",
        min_length=1,
        max_length=16,
        pattern=r"^[!-~]+$",
        examples=["2026-09"],
    )


class RefreshBody(Request):
    refresh_token: f.Secret = Field(title="续期令牌")


class PhoneBody(Request):
    code: f.Secret = Field(title="手机号凭证", description="手机号按钮给出的 code，一次有效")


class User(Answer):
    id: int = Field(title="编号", examples=[12])
    nickname: str | None = Field(title="昵称", examples=["小雨妈妈"])
    real_name: str | None = Field(title="真实姓名", examples=["张敏"])
    phone_masked: str | None = Field(title="手机号", description="中间四位隐去", examples=["137****1234"])
    member_status: Literal["trial", "formal", "left"] = Field(title="会员状态", description="新用户是 trial")
    registered_at: f.Moment = Field(title="注册时间")
    family_id: int = Field(title="家庭编号", examples=[7])


class Features(Answer):
    booking: bool = Field(title="预约正式课")
    trial_order: bool = Field(title="下单体验课")
    payment: bool = Field(title="发起微信支付")
    waitlist: bool = Field(title="加入候补")
    makeup: bool = Field(title="预约补课")
    withdrawal: bool = Field(title="申请提现")
    question: bool = Field(title="对流水提问")


class MeBody(Request):
    nickname: f.Nickname = Field(None, title="昵称")
    real_name: f.RealName = Field(None, title="真实姓名")


class Profile(Answer):
    id: int = Field(title="编号", examples=[31])
    name: str = Field(title="姓名", examples=["小雨"])
    birthday: date | None = Field(title="生日", examples=["2018-05-01"])
    gender: Literal["male", "female", "unknown"] = Field(title="性别")
    level: str | None = Field(title="级别", examples=["L1"])
    status: Literal["active", "left"] = Field(title="状态")


class Profiles(Answer):
    items: list[Profile] = Field(title="各学员")
    next_cursor: str | None = Field(title="下一页", examples=[None])


Gender = Literal["male", "female", "unknown"]
_LEVEL_NOTE = "家长填写的是意愿，馆方确认后才生效；确认后家长的修改不再起作用"


class ProfileBody(Request):
    name: f.Name = Field(title="姓名", examples=["小雨"])
    birthday: f.Birthday = Field(None, title="生日", examples=["2018-05-01"])
    gender: Gender | None = Field(None, title="性别")
    level: str | None = Field(None, title="级别", description=_LEVEL_NOTE, max_length=32, examples=["L1"])


class ProfileChangeBody(Request):
    name: f.Name = Field("", title="姓名", examples=["小雨"])
    birthday: f.Birthday = Field(None, title="生日", examples=["2018-05-01"])
    gender: Gender | None = Field(None, title="性别")
    level: str | None = Field(None, title="级别", description=_LEVEL_NOTE, max_length=32, examples=["L1"])


# ── messages ────────────────────────────────────────────────────────────────────────────────────────


class Preferences(RootModel[dict[str, bool]]):
    """Switchable message type → wanted or not."""

    model_config = ConfigDict(
        json_schema_extra={
            "properties": {name: {"type": "boolean", "title": KINDS[name].title} for name in SWITCHABLE},
            "required": list(SWITCHABLE),
            "additionalProperties": False,
        }
    )


def _switchable(name: str) -> str:
    # Unlike elsewhere an unknown name is refused (96.76): a switch that does nothing would mislead a parent.
    if name not in SWITCHABLE:
        raise f.refuse("没有这个可关闭的消息类型")
    return name


class PreferencesBody(RootModel[dict[Annotated[str, AfterValidator(_switchable)], bool]]):
    """The types that are named are set, the others stay."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "properties": {name: {"type": "boolean", "title": KINDS[name].title} for name in SWITCHABLE},
            "additionalProperties": False,
        },
    )


class SubscriptionBody(Request):
    template: f.Secret = Field(title="消息模板", description="微信的模板 id")
    accepted: bool = Field(title="是否允许", description="false 不改变任何东西")


class Subscription(Answer):
    type: str = Field(title="消息类型", examples=["low_balance"])
    template_id: str = Field(title="模板编号")
    remaining: int = Field(title="还可发送的条数", examples=[1])


class Subscriptions(Answer):
    items: list[Subscription] = Field(title="各消息类型")
    next_cursor: str | None = Field(title="下一页", examples=[None])


class SubscriptionLeft(Answer):
    template: str = Field(title="消息模板")
    remaining: int = Field(title="还可发送的条数", examples=[1])


class Notification(Answer):
    id: int = Field(title="编号", examples=[88])
    type: str = Field(title="消息类型", examples=["balance_changed"])
    title: str | None = Field(title="标题", examples=["余额变动通知"])
    text: str | None = Field(title="正文")
    page: str | None = Field(title="打开的页面", examples=["pages/wallet/index"])
    created_at: f.Moment = Field(title="时间")
    read_at: f.Moment | None = Field(title="已读时间")


class Notifications(Answer):
    items: list[Notification] = Field(title="各消息")
    next_cursor: str | None = Field(title="下一页")
    unread_count: int = Field(title="未读条数", examples=[2])


class NotificationsQuery(Request):
    cursor: f.Cursor = Field(None, title="分页位置")
    limit: f.Limit = Field(20, title="每页条数")
    unread: f.Switch = Field(False, title="只看未读")


# ── wallet ──────────────────────────────────────────────────────────────────────────────────────────

State = Literal["normal", "low", "arrears", "blocked"]


class Member(Answer):
    kind: Literal["parent", "student"] = Field(title="身份")
    id: int = Field(title="编号", examples=[31])
    name: str = Field(title="姓名", examples=["小雨"])


class Wallet(Answer):
    balance: f.Money = Field(title="余额")
    currency: Literal["CNY"] = Field("CNY", title="币种")
    status: Literal["active", "frozen", "closed"] = Field(title="钱包状态")
    state: State = Field(title="余额状态")
    state_text: str = Field(title="余额状态说明", examples=["余额正常"])
    overdraft_limit: f.Money = Field(title="可欠上限", description="正数")
    available: f.Money = Field(title="可用金额", description="余额 + 可欠上限")
    booking_allowed: bool = Field(title="可否预约")
    members: list[Member] = Field(title="家庭成员")


class Balance(Answer):
    balance: f.Money = Field(title="余额")
    state: State = Field(title="余额状态")
    updated_at: f.Moment = Field(title="最近变动时间")


class TransactionsQuery(Request):
    type: Literal[tuple(TransactionType)] | None = Field(None, title="类型")  # type: ignore[valid-type]
    date_from: f.Day = Field(None, title="开始日期", description="上海时间的日子，含当天")
    date_to: f.Day = Field(None, title="结束日期", description="上海时间的日子，含当天")
    profile_id: f.Id = Field(None, title="学员编号")
    cursor: f.Cursor = Field(None, title="分页位置")
    limit: f.Limit = Field(20, title="每页条数")


class QuestionBody(Request):
    text: f.QuestionText = Field(title="疑问", examples=["这节课孩子请假了，为什么还是扣了费？"])


class QuestionAsked(Answer):
    id: int = Field(title="编号", examples=[12])
    status: Literal[tuple(QuestionStatus)] = Field(title="状态")  # type: ignore[valid-type]


class Question(QuestionAsked):
    text: str = Field(title="疑问")
    asked_at: f.Moment = Field(title="提出时间")
    answer: str | None = Field(title="前台的答复")
    answered_at: f.Moment | None = Field(title="答复时间")


class Transaction(Answer):
    id: int = Field(title="编号", examples=[501])
    seq: int = Field(title="钱包内序号", examples=[3])
    type: str = Field(title="类型", examples=["recharge"])
    type_text: str = Field(title="类型说明", examples=["充值"])
    amount: f.Money = Field(title="金额", description="收入为正，支出为负")
    balance_before: f.Money = Field(title="变动前余额")
    balance_after: f.Money = Field(title="变动后余额")
    description: str = Field(title="说明", examples=["现金充值"])
    reference_type: str = Field(title="来源类型", examples=["adjustment"])
    reference_id: str = Field(title="来源编号", examples=["17"])
    reverses_id: int | None = Field(title="所冲销的流水", examples=[None])
    status: Literal["posted", "cancelled"] = Field(title="状态")
    profile_id: int | None = Field(title="学员编号")
    profile_name: str | None = Field(title="学员姓名")
    created_at: f.Moment = Field(title="时间")
    question: Question | None = Field(title="最近一次疑问", description="家长没有问过时为 null")


class Transactions(Answer):
    items: list[Transaction] = Field(title="各笔流水")
    next_cursor: str | None = Field(title="下一页")


class SignedIn(Answer):
    access_token: str = Field(title="访问令牌")
    expires_in: int = Field(title="有效秒数", examples=[7200])
    refresh_token: str = Field(title="续期令牌", description="一次有效，30 天内可换新的一对")
    user: User = Field(title="家长本人")
    profiles: list[Profile] = Field(title="本家庭的学员")
    wallet: Wallet = Field(title="家庭的钱包")


class Tokens(Answer):
    access_token: str = Field(title="访问令牌")
    expires_in: int = Field(title="有效秒数", examples=[7200])
    refresh_token: str = Field(title="续期令牌")
