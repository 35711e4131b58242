"""Access tokens: JWT, HS256, signed with a key derived from the application's secret (P5).

A token names the user and the sign-in; whether that sign-in still stands is asked of the database on every call.
Tokens of the previous secret keys are taken until they lapse, so that keys can be rotated (S7).
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import jwt

from app import clock, config, ids
from app.errors import Unauthenticated

ALGORITHM = "HS256"
AUDIENCE = "baishi-mini"
ISSUER = "baishi-desk"
MAX_LENGTH = 2048
_REQUIRED = ["sub", "sid", "iat", "exp", "aud", "iss", "jti"]
# Lapsing is judged below, by the one clock of the system.
_OPTIONS = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class Claims:
    user_id: int
    session_id: str
    #: seconds since the epoch
    expires_at: int


def issue(*, user_id: int, session_id: str, seconds: int) -> str:
    """An access token that lives for `seconds`."""
    now = int(clock.now().timestamp())
    claims = {
        "sub": str(user_id),
        "sid": session_id,
        "iat": now,
        "exp": now + seconds,
        "aud": AUDIENCE,
        "iss": ISSUER,
        "jti": ids.new_hex(),
    }
    return jwt.encode(claims, _key(config.current().secret_key), algorithm=ALGORITHM)


def read(token: str) -> Claims:
    """What a good token says. Raises Unauthenticated for any other."""
    settings = config.current()
    if len(token) > MAX_LENGTH:
        raise Unauthenticated
    claims = _verified(token, (settings.secret_key, *settings.previous_secret_keys))
    if claims is None:
        raise Unauthenticated("登录已失效，请重新登录")
    if claims.expires_at <= clock.now().timestamp():
        raise Unauthenticated("登录已过期，请重新登录")
    return claims


# A phone shows the same token for two hours, and checking it costs as much as reading the balance. Only what never
# changes is kept: signature and claims. Whether it lapsed or was ended is asked each time.
@functools.lru_cache(maxsize=4096)
def _verified(token: str, secrets: tuple[str, ...]) -> Claims | None:
    """The claims of a token that one of these secrets signed, None for any other."""
    for secret in secrets:
        try:
            claims = jwt.decode(
                token, _key(secret), algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=_OPTIONS
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return None
        user, session, expires = claims["sub"], claims["sid"], claims["exp"]
        # Ours by signature; a claim of another kind could only come from an older release.
        if not isinstance(expires, int) or not isinstance(session, str) or not str(user).isdigit():
            return None
        return Claims(int(user), session, expires)
    return None


def _key(secret: str) -> bytes:
    # Derived, so that neither a session cookie's signature nor any other use of the secret can pass for a token.
    return hashlib.sha256(b"parent-access-token|" + secret.encode()).digest()
