"""The signed-in parent."""

from __future__ import annotations

from flask import Blueprint

from app.api.v1 import schemas
from app.api.v1.contract import Call, endpoint
from app.domain.outbox import preferences
from app.domain.people import profiles, queries
from app.domain.policy import switches

bp = Blueprint("me", __name__, url_prefix="/me")


@endpoint(bp, "GET", "", summary="我的资料", data=schemas.User)
def get_me(call: Call) -> schemas.User:
    """登录的家长本人。手机号只显示前三后四位。"""
    return schemas.User.model_validate(queries.find_user(call.parent.user_id))


@endpoint(bp, "PATCH", "", summary="修改我的资料", body=schemas.MeBody, data=schemas.User)
def patch_me(call: Call) -> schemas.User:
    """只改请求中出现的字段；null 或空文字表示清空。"""
    changes = call.body.model_dump(exclude_unset=True)
    return schemas.User.model_validate(profiles.update_me(changes=changes, actor=call.actor))


@endpoint(bp, "GET", "/features", summary="开放的功能", data=schemas.Features)
def get_features(call: Call) -> schemas.Features:
    """哪些操作现在对我的家庭开放；不开放的请隐藏或说明，调用会得到 FEATURE_OFF。"""
    return schemas.Features(**switches.of_phone(call.parent.family_id))


@endpoint(bp, "GET", "/notification-preferences", summary="消息开关", data=schemas.Preferences)
def get_preferences(call: Call) -> schemas.Preferences:
    """每种可关闭的消息是否接收；没有关过就是 true。"""
    return schemas.Preferences(preferences.get(call.parent.user_id))


@endpoint(
    bp, "PUT", "/notification-preferences",
    summary="修改消息开关", body=schemas.PreferencesBody, data=schemas.Preferences, key="honoured",
)  # fmt: skip
def put_preferences(call: Call) -> schemas.Preferences:
    """设置请求中出现的类型，其余不变。重要消息（欠费、候补、支付等）不能关闭。"""
    return schemas.Preferences(
        preferences.put(
            user_id=call.parent.user_id,
            wanted=call.body.root,
            actor=call.actor,
            request_key=call.request_key(schemas.Preferences),
        )
    )
