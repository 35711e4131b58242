"""In-app messages, and how many subscribe messages a parent still allows (N8, Q14)."""

from __future__ import annotations

from flask import Blueprint

from app import config
from app.api.v1 import cursors, schemas
from app.api.v1.contract import Call, endpoint
from app.domain.outbox import consents, queries
from app.errors import Invalid

bp = Blueprint("messages", __name__)
_LIST = "n"


@endpoint(
    bp, "GET", "/notifications",
    summary="站内消息", query=schemas.NotificationsQuery, data=schemas.Notifications,
)  # fmt: skip
def list_notifications(call: Call) -> schemas.Notifications:
    """微信没有送达许可的消息都在这里，最新的在前。"""
    user_id, asked = call.parent.user_id, call.query
    rows, last = queries.in_app(
        user_id, before=cursors.decode(_LIST, asked.cursor), limit=asked.limit, unread=asked.unread
    )
    return schemas.Notifications(
        items=[schemas.Notification.model_validate(row) for row in rows],
        next_cursor=None if last is None else cursors.encode(_LIST, last),
        unread_count=queries.unread_count(user_id),
    )


@endpoint(
    bp, "POST", "/notifications/<id:notification_id>/read",
    summary="标为已读", data=schemas.Notification, key="honoured", errors=("NOT_FOUND",),
)  # fmt: skip
def read_notification(call: Call, notification_id: int) -> schemas.Notification:
    """再标一次不改变第一次的已读时间。"""
    present = schemas.Notification.model_validate
    return present(
        queries.mark_read(
            user_id=call.parent.user_id, notification_id=notification_id, request_key=call.request_key(present)
        )
    )


@endpoint(bp, "GET", "/me/subscriptions", summary="订阅消息余量", data=schemas.Subscriptions)
def list_subscriptions(call: Call) -> schemas.Subscriptions:
    """每种消息还可以发几条微信订阅消息。家长每点一次允许加一，每发一条减一。"""
    templates = config.current().templates
    left = consents.remaining(call.parent.user_id)
    items = [
        schemas.Subscription(type=name, template_id=templates[name], remaining=count) for name, count in left.items()
    ]
    return schemas.Subscriptions(items=items, next_cursor=None)


@endpoint(
    bp, "POST", "/me/subscriptions",
    summary="记录订阅许可", body=schemas.SubscriptionBody, data=schemas.SubscriptionLeft, key="honoured",
)  # fmt: skip
def add_subscription(call: Call) -> schemas.SubscriptionLeft:
    """家长在 wx.requestSubscribeMessage 里对一个模板的回答。"""
    template = call.body.template
    kind = next((name for name, known in config.current().templates.items() if known == template), None)
    if kind is None:
        raise Invalid.field("template", "没有这个消息模板")

    def present(remaining: int) -> schemas.SubscriptionLeft:
        return schemas.SubscriptionLeft(template=template, remaining=remaining)

    return present(
        consents.record(
            user_id=call.parent.user_id,
            type=kind,
            accepted=call.body.accepted,
            actor=call.actor,
            request_key=call.request_key(present),
        )
    )
