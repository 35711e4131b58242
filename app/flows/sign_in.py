"""A parent signs in or binds a phone: WeChat says who, then one short transaction (P5)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from app import config
from app.db import RequestKey, db
from app.domain.audit.actor import Actor
from app.domain.people import limits, parent_sessions, profiles, registration
from app.domain.people.parent_sessions import OpenedSession
from app.domain.people.queries import UserCard
from app.domain.policy import service as policy
from app.errors import Unauthenticated, Unavailable
from app.flows import once
from app.gateways import wechat_mini
from app.gateways.errors import GatewayError

log = logging.getLogger("desk.sign_in")


class WeChatCodeInvalid(Unauthenticated):
    """WeChat does not take the code (96.23)."""

    code = "WECHAT_CODE_INVALID"
    message = "微信凭证无效或已过期，请返回小程序重试"


class WeChatUnavailable(Unavailable):
    code = "WECHAT_UNAVAILABLE"
    message = "暂时连不上微信，请稍后再试"


@dataclass(frozen=True, slots=True)
class SignedInUser:
    user_id: int
    family_id: int
    #: whether this was the first sign-in
    created: bool
    session: OpenedSession


def sign_in(*, code: str, nickname: str | None, consent_version: str | None, actor: Actor) -> SignedInUser:
    """Turn a `wx.login` code into a sign-in, registering the parent if WeChat's openid is new (P1).

    Raises WeChatCodeInvalid, WeChatUnavailable, TooMany.
    """
    _end_reading()
    identity = _ask(lambda client: client.code_to_session(code))
    if config.current().rate_limits:
        limits.hit(f"signin:openid:{identity.openid}", limit=policy.get("limit_sign_in"), window_seconds=60)
    registered = registration.register_user(
        openid=identity.openid,
        unionid=identity.unionid,
        nickname=nickname,
        consent_version=consent_version,
        actor=actor,
    )
    session = parent_sessions.open_session(user_id=registered.user_id, actor=actor)
    return SignedInUser(registered.user_id, registered.family_id, registered.created, session)


def bind_phone(*, code: str, actor: Actor, request_key: RequestKey | None) -> UserCard:
    """Bind the number behind WeChat's phone code to the signed-in parent.

    Raises WeChatCodeInvalid, WeChatUnavailable, PhoneTaken, Replayed, StillRunning.
    """
    # The code is good once: a repetition, or a twin, would be refused by WeChat for the wrong reason.
    with once.alone(request_key):
        _end_reading()
        number = _ask(lambda client: client.get_phone_number(code))
        return profiles.set_phone(phone=number, actor=actor, request_key=request_key)


def _ask(call):
    try:
        return call(wechat_mini.from_settings(config.current()))
    except wechat_mini.CodeRefused as error:
        raise WeChatCodeInvalid from error
    except GatewayError as error:
        log.warning("WeChat did not answer as it should", extra={"call": error.label, "error_code": error.code})
        raise WeChatUnavailable(retry_after=error.retry_after or 5) from error


def _end_reading() -> None:
    # The connection goes back to the pool while WeChat takes its seconds.
    db.session.rollback()
