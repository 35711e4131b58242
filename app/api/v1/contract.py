"""One decorator that keeps the contract: `@endpoint(...)` checks in its order, answers in its envelope, and is what
the OpenAPI document is written from.

The order of 96.14: size (413) → token (401) → JSON and fields (422) → key (400, 422) → ownership (404) → rules
(409). Handlers read `call` and return a model. Why this is ours: docs/decisions/0004-json-contract.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from flask import Blueprint, Response, request
from pydantic import BaseModel, ValidationError

from app import ids
from app.api.v1 import limits, tokens
from app.api.v1.errors import MAX_BODY, SUCCESS, BadRequest, body_too_large, envelope, wrong_fields
from app.api.v1.json_body import read_object
from app.api.v1.sentences import sentences
from app.api.v1.staff_session import staff_actor
from app.db import RequestKey
from app.domain.audit.actor import Actor, ActorType
from app.domain.people import parent_sessions, roles
from app.domain.people.parent_sessions import SignedInParent
from app.domain.people.roles import Permission
from app.errors import Forbidden, Replayed, Unauthenticated
from app.text import clean

KeyRule = Literal["required", "honoured", "ignored"]
Limit = Literal["read", "money", "sign_in", "address"]
#: (session id, user id) → the parent and what else was read; None when the sign-in does not stand
Read = Callable[[str, int], tuple[SignedInParent, Any] | None]

#: calls a minute per address, for calls without a user that need no stricter limit
ADDRESS_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call of the contract, as the decorator was told."""

    name: str
    method: str
    path: str
    tag: str
    summary: str
    data: type[BaseModel]
    body: type[BaseModel] | None = None
    #: whether a call without any body counts as one with `{}`: every field may be left out
    body_optional: bool = False
    #: whether the body's fields may stand in the query instead
    body_or_query: bool = False
    query: type[BaseModel] | None = None
    status: int = 200
    key: KeyRule = "ignored"
    signed_in: bool = True
    #: the permission of a call that is the staff's: by the portal's session instead of a parent's token
    staff: Permission | None = None
    read: Read | None = None
    limit: Limit = "read"
    errors: tuple[str, ...] = ()
    #: what a 202 carries: it was taken, and is not known yet
    accepted: type[BaseModel] | None = None
    #: whether what is there already may be given back with 200 instead
    given_back: bool = False
    #: media types of an answer that is no envelope
    media: tuple[str, ...] = ()
    description: str = ""


#: every call that there is, in the order of the modules
ENDPOINTS: list[Endpoint] = []


@dataclass
class Call:
    """What a handler may know of its request."""

    endpoint: Endpoint
    body: Any = None
    query: Any = None
    read: Any = None
    key: str | None = None
    #: another status than the endpoint's own, where the handler says so
    status: int | None = None
    #: a sentence of its own for the person
    message: str | None = None
    _raw: dict[str, Any] = field(default_factory=dict)
    _parent: SignedInParent | None = None
    _staff: Actor | None = None

    @property
    def parent(self) -> SignedInParent:
        """The signed-in parent; only calls with `signed_in` have one."""
        if self._parent is None:
            raise Unauthenticated
        return self._parent

    @cached_property
    def actor(self) -> Actor:
        """Who acts: the parent, the staff member, or at sign-in somebody whom nobody knows yet."""
        if self._staff is not None:
            return self._staff
        parent = self._parent
        return Actor(
            type=ActorType.PARENT,
            id=parent.user_id if parent else None,
            name=parent.name if parent else "未登录",
            family_id=parent.family_id if parent else None,
            ip=request.remote_addr,
            user_agent=clean(request.headers.get("User-Agent"), 255) or None,
            request_id=ids.request_id(),
        )

    def request_key(self, present: Callable[[Any], BaseModel]) -> RequestKey | None:
        """The caller's Idempotency-Key for a use case, None without one. `present` makes the answer's model of the
        use case's result: a repetition is given the same status, message and data (96.13)."""
        if self.key is None:
            return None
        return RequestKey(
            scope=f"staff:{self._staff.id}" if self._staff is not None else f"user:{self.parent.user_id}",
            key=self.key,
            fingerprint=RequestKey.digest(self.endpoint.method, request.full_path, self._raw),
            present=lambda result: self._kept(present(result)),
        )

    def _kept(self, answer: BaseModel) -> dict[str, Any]:
        kept = {"status": self.status or self.endpoint.status, "data": answer.model_dump(mode="json")}
        return kept if self.message is None else kept | {"message": self.message}


def endpoint(
    bp: Blueprint,
    method: str,
    path: str,
    *,
    summary: str,
    data: type[BaseModel],
    body: type[BaseModel] | None = None,
    body_optional: bool = False,
    body_or_query: bool = False,
    query: type[BaseModel] | None = None,
    status: int = 200,
    key: KeyRule = "ignored",
    signed_in: bool = True,
    staff: Permission | None = None,
    read: Read | None = None,
    limit: Limit = "read",
    errors: tuple[str, ...] = (),
    accepted: type[BaseModel] | None = None,
    given_back: bool = False,
    media: tuple[str, ...] = (),
):
    """Serve `method path` by the decorated handler.

    `path` is Flask's, with `<id:…>` for ids and `<number:…>` for an order's public number. `errors` are the codes of
    its own, for the document; those of the contract itself are added there. `read` finds the parent and what the
    handler answers (`call.read`) in one statement: for calls so frequent that a second one would show.
    """

    def register(handler: Callable[..., BaseModel | Response]):
        spec = Endpoint(
            name=handler.__name__,
            method=method,
            path=path,
            tag=bp.name,
            summary=summary,
            data=data,
            body=body,
            body_optional=body_optional,
            body_or_query=body_or_query,
            query=query,
            status=status,
            key=key,
            signed_in=signed_in,
            staff=staff,
            read=read,
            limit=limit,
            errors=errors,
            accepted=accepted,
            given_back=given_back,
            media=media,
            description=" ".join((handler.__doc__ or "").split()),
        )
        ENDPOINTS.append(spec)

        def view(**path_ids: int | str) -> Response:
            return _serve(spec, handler, path_ids)

        bp.add_url_rule(path, endpoint=spec.name, view_func=view, methods=[method])
        return handler

    return register


def _serve(spec: Endpoint, handler: Callable[..., BaseModel | Response], path_ids: dict[str, Any]) -> Response:
    raw = _read_raw(spec)
    call = Call(spec)
    if spec.staff:
        call._staff = _staff(spec.staff)
    elif spec.signed_in:
        call._parent, call.read = _signed_in(spec.read)
    _count(spec, call)
    if spec.body is not None:
        may_be_absent = spec.body_optional or spec.body_or_query
        call._raw = {} if may_be_absent and not raw else read_object(raw)
        # Said in both places, the body holds.
        call.body = _validated(spec.body, _query_values() | call._raw if spec.body_or_query else call._raw)
    if spec.query is not None:
        call.query = _validated(spec.query, _query_values())
    if spec.key != "ignored":
        call.key = _idempotency_key(required=spec.key == "required")
    try:
        result = handler(call, **path_ids)
    except Replayed as replay:
        return envelope(replay.answer["status"], replay.answer.get("message", SUCCESS), replay.answer["data"])
    if isinstance(result, Response):
        return result
    return envelope(call.status or spec.status, call.message or SUCCESS, result.model_dump(mode="json"))


def _read_raw(spec: Endpoint) -> bytes:
    """The body's bytes, bounded also where no length was announced. Raises 413 before anything else is looked at."""
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise body_too_large()
    if spec.body is None:
        return b""
    # One byte more than is allowed: a stream without a length is cut at its bound without a word.
    request.max_content_length = MAX_BODY + 1
    raw = request.get_data(cache=False)
    if len(raw) > MAX_BODY:
        raise body_too_large()
    return raw


def _staff(permission: Permission) -> Actor:
    """Raises Forbidden for a parent and for a role without the permission, Unauthenticated for nobody."""
    if "Authorization" in request.headers:
        _signed_in(None)
        raise Forbidden("这个操作由馆方在运营台上进行，如有需要请联系前台")
    actor = staff_actor()
    roles.require(actor, permission)
    return actor


def _signed_in(read: Read | None) -> tuple[SignedInParent, Any]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    claims = tokens.read(token.strip())
    if read is not None:
        found = read(claims.session_id, claims.user_id)
    else:
        parent = parent_sessions.signed_in(claims.session_id, claims.user_id)
        found = None if parent is None else (parent, None)
    if found is None:
        raise Unauthenticated("登录已失效，请重新登录")
    return found


def _count(spec: Endpoint, call: Call) -> None:
    address = request.remote_addr or "-"
    if spec.limit == "sign_in":
        limits.count_sign_in(address)
    elif spec.limit == "address":
        limits.count_read(f"address:{address}", ADDRESS_LIMIT)
    elif spec.limit == "money":
        limits.count_money(call.parent.user_id)
    elif call._staff is not None:
        limits.count_read(f"staff:{call._staff.id}", ADDRESS_LIMIT)
    else:
        limits.count_read(f"user:{call.parent.user_id}", call.parent.reads_per_minute)


def _validated(model: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise wrong_fields(sentences(model, error)) from None


def _query_values() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in request.args.lists():
        # A list where one value belongs is refused by its field's type.
        found[name] = values[0] if len(values) == 1 else values
    return found


def _idempotency_key(*, required: bool) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        if required:
            raise BadRequest(400, "IDEMPOTENCY_KEY_REQUIRED", "这个请求必须带 Idempotency-Key 请求头")
        return None
    if not 1 <= len(key) <= 64 or any(not "!" <= char <= "~" for char in key):
        raise BadRequest(400, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key 应为 1 到 64 个可见的 ASCII 字符，不含空格")
    return key
