"""Sign-in of parents (P5)."""

from __future__ import annotations

from flask import Blueprint

from app.api.v1 import schemas, tokens
from app.api.v1.contract import Call, endpoint
from app.api.v1.wallet import wallet_of
from app.domain.people import parent_sessions, queries
from app.domain.people.parent_sessions import OpenedSession
from app.flows import sign_in

bp = Blueprint("sign_in", __name__, url_prefix="/auth")


@endpoint(
    bp, "POST", "/login",
    summary="微信登录", body=schemas.LoginBody, data=schemas.SignedIn, signed_in=False, limit="sign_in",
    errors=("WECHAT_CODE_INVALID", "WECHAT_UNAVAILABLE"),
)  # fmt: skip
def login(call: Call) -> schemas.SignedIn:
    """用 wx.login 的 code 换一对令牌。第一次登录即注册：建立用户、家庭和余额为 0.00 的钱包。"""
    done = sign_in.sign_in(
        code=call.body.code,
        nickname=call.body.nickname,
        consent_version=call.body.consent_version,
        actor=call.actor,
    )
    return schemas.SignedIn(
        **_pair(done.session),
        user=schemas.User.model_validate(queries.find_user(done.user_id)),
        profiles=[schemas.Profile.model_validate(card) for card in queries.profiles_of(done.family_id)],
        wallet=wallet_of(done.family_id),
    )


@endpoint(
    bp, "POST", "/refresh",
    summary="换新令牌", body=schemas.RefreshBody, data=schemas.Tokens, signed_in=False, limit="address",
    errors=("UNAUTHENTICATED",),
)  # fmt: skip
def refresh(call: Call) -> schemas.Tokens:
    """用续期令牌换一对新的；旧的续期令牌即告作废，再用返回 401。"""
    return schemas.Tokens(**_pair(parent_sessions.refresh(refresh_token=call.body.refresh_token)))


@endpoint(bp, "POST", "/logout", summary="退出登录", data=schemas.Nothing, key="honoured")
def logout(call: Call) -> schemas.Nothing:
    """这次登录的访问令牌和续期令牌立即失效；同一用户的其他手机不受影响。"""

    def present(_none: None) -> schemas.Nothing:
        return schemas.Nothing()

    key = call.request_key(present)
    return present(parent_sessions.end_session(session_id=call.parent.session_id, actor=call.actor, request_key=key))


@endpoint(
    bp, "POST", "/phone",
    summary="绑定手机号", body=schemas.PhoneBody, data=schemas.User, key="honoured",
    errors=("WECHAT_CODE_INVALID", "WECHAT_UNAVAILABLE", "PHONE_TAKEN", "IDEMPOTENCY_IN_PROGRESS"),
)  # fmt: skip
def phone(call: Call) -> schemas.User:
    """用手机号按钮的 code 绑定微信核实过的手机号。"""
    present = schemas.User.model_validate
    return present(sign_in.bind_phone(code=call.body.code, actor=call.actor, request_key=call.request_key(present)))


def _pair(session: OpenedSession) -> dict:
    access = tokens.issue(user_id=session.user_id, session_id=session.id, seconds=session.access_seconds)
    return {"access_token": access, "expires_in": session.access_seconds, "refresh_token": session.refresh_token}
