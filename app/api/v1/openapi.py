"""The OpenAPI 3.1 document, written from the code: every `@endpoint` with its models, and what is none (96.19).

Built once per process when somebody first asks; requests themselves never compute a schema.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from flask import Blueprint, Response, json
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.v1 import openapi_others
from app.api.v1.codes import CODES
from app.api.v1.contract import ENDPOINTS, Endpoint

PREFIX = "/api/v1"
TAGS = {
    "sign_in": "登录",
    "me": "我的资料",
    "profiles": "学员",
    "messages": "消息",
    "wallet": "钱包",
    "withdrawals": "提现",
    "schedules": "课程",
    "bookings": "预约",
    "payment": "体验课订单与支付",
    "waitlist": "候补",
    "makeup": "补课",
    "compensation": "课时补偿",
    "others": "其他",
}
_PATH_ID = re.compile(r"<(id|number):(\w+)>")
_PATH_SCHEMAS = {
    "id": {"type": "integer", "minimum": 1},
    "number": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[0-9A-Za-z_-]+$"},
}
_REF = "#/components/schemas/"

bp = Blueprint("openapi", __name__)


@bp.get("/openapi.json")
def document() -> Response:
    return Response(_text(), mimetype="application/json")


@functools.cache
def _text() -> str:
    return json.dumps(build(), ensure_ascii=False)


@functools.cache
def build() -> dict[str, Any]:
    """The whole document as plain data. Treat it as read-only: it is kept."""
    paths: dict[str, Any] = {}
    refs, schemas = _schemas()
    for spec in ENDPOINTS:
        operation = _operation(spec, refs)
        paths.setdefault(path_of(spec), {})[spec.method.lower()] = operation
    paths |= openapi_others.paths(PREFIX)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "百适体操馆小程序接口",
            "version": "1.0.0",
            "description": "金额是两位小数的文字，时间是带时区的 ISO 8601，列表是 {items, next_cursor}。",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas | {"Error": _error_schema()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "staff": {"type": "apiKey", "in": "cookie", "name": "desk", "description": "运营台的登录"},
            },
        },
    }


def path_of(spec: Endpoint) -> str:
    """The path as OpenAPI writes it."""
    group = next(group for group in _groups() if group.name == spec.tag)
    return _PATH_ID.sub(r"{\2}", f"{PREFIX}{group.url_prefix or ''}{spec.path}")


def codes_of(spec: Endpoint) -> list[str]:
    """Every error code that this call can answer with, by status."""
    codes = {"RATE_LIMITED", "INTERNAL_ERROR", "BUSY_TRY_AGAIN", "UNAVAILABLE", *spec.errors}
    if spec.signed_in or spec.staff:
        codes.add("UNAUTHENTICATED")
    if spec.body is not None:
        codes |= {"BODY_TOO_LARGE", "VALIDATION_FAILED"}
    if spec.query is not None:
        codes.add("VALIDATION_FAILED")
    if spec.key != "ignored":
        codes |= {"IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_KEY_REUSED"}
    if spec.key == "required":
        codes.add("IDEMPOTENCY_KEY_REQUIRED")
    if _PATH_ID.search(spec.path):
        codes.add("NOT_FOUND")  # an id that no row can have names no address at all
    return sorted(codes, key=lambda code: (CODES[code][0], code))


def _groups() -> list[Blueprint]:
    from app.api.v1 import GROUPS  # here, because the groups are what registers the endpoints

    return [group.bp for group in GROUPS]


def _schemas() -> tuple[dict[Any, dict], dict[str, Any]]:
    """(model and mode → its reference, component name → schema)."""
    wanted: list[tuple[type[BaseModel], str]] = []
    for spec in ENDPOINTS:
        wanted.append((spec.data, "serialization"))
        if spec.body is not None:
            wanted.append((spec.body, "validation"))
        if spec.query is not None:
            wanted.append((spec.query, "validation"))
        if spec.accepted is not None:
            wanted.append((spec.accepted, "serialization"))
    refs, top = models_json_schema(wanted, ref_template=_REF + "{model}")
    return refs, {name: _tidy(schema) for name, schema in top["$defs"].items()}


def _tidy(schema: Any) -> Any:
    """Without `default: null`: a field that is left out is not the same as one that is null."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _tidy(part) for name, part in schema.items() if name != "default" or part not in (None, "")}


def _operation(spec: Endpoint, refs: dict) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": spec.name,
        "tags": [spec.tag],
        "summary": spec.summary,
        "description": spec.description,
        "parameters": _parameters(spec),
        "responses": _responses(spec, refs),
        "security": [{"staff": []}] if spec.staff else [{"token": []}] if spec.signed_in else [],
    }
    if spec.body is not None:
        operation["requestBody"] = {
            "required": not (spec.body_optional or spec.body_or_query),
            "content": {"application/json": {"schema": refs[(spec.body, "validation")]}},
        }
    return operation


def _parameters(spec: Endpoint) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[kind]}
        for kind, name in _PATH_ID.findall(spec.path)
    ]
    asked = spec.body if spec.body_or_query else spec.query
    if asked is not None:
        whole = asked.model_json_schema()
        for name, schema in whole["properties"].items():
            schema = _tidy(schema)
            needed = name in whole.get("required", ()) and not spec.body_or_query
            entry = {"name": name, "in": "query", "required": needed, "schema": _not_null(schema)}
            if "description" in schema:
                entry["description"] = schema["description"]
            found.append(entry)
    if spec.key != "ignored":
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": spec.key == "required",
                "description": "同一个键的同一个请求只做一次，再来得到第一次的回答",
                "schema": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$"},
            }
        )
    return found


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    # A query has no null: an optional parameter is left out.
    options = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    if len(options) != 1:
        return schema
    return {name: part for name, part in schema.items() if name != "anyOf"} | options[0]


def _responses(spec: Endpoint, refs: dict) -> dict[str, Any]:
    if spec.media:
        found = {"200": {"description": "操作成功", "content": {kind: {} for kind in spec.media}}}
    else:
        found = {str(spec.status): _success(spec.status, "操作成功", refs[(spec.data, "serialization")])}
    if spec.status == 201 and spec.given_back:
        found["200"] = _success(200, "已有同样的，原样给回", refs[(spec.data, "serialization")])
    if spec.accepted is not None:
        found["202"] = _success(202, "已收到，结果还不知道", refs[(spec.accepted, "serialization")])
    by_status: dict[int, list[str]] = {}
    for code in codes_of(spec):
        by_status.setdefault(CODES[code][0], []).append(code)
    for status, codes in by_status.items():
        found[str(status)] = {
            "description": "；".join(f"{code}：{CODES[code][1]}" for code in codes),
            "content": {
                "application/json": {
                    "schema": {
                        "allOf": [
                            {"$ref": f"{_REF}Error"},
                            {"properties": {"code": {"const": status}, "error": {"enum": codes}}},
                        ]
                    }
                }
            },
        }
    return found


def _success(status: int, description: str, data: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["code", "message", "data", "request_id"],
        "properties": {
            "code": {"const": status},
            "message": {"type": "string"},
            "data": data,
            "request_id": {"type": "string"},
        },
    }
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error_schema() -> dict[str, Any]:
    return {
        "title": "Error",
        "description": "每个错误的样子。error 稳定不变，message 给人看。",
        "type": "object",
        "required": ["code", "message", "data", "error", "request_id"],
        "properties": {
            "code": {"type": "integer", "description": "等于 HTTP 状态码"},
            "message": {"type": "string"},
            "data": {"description": "有的错误带数字，多数是 null"},
            "error": {"type": "string"},
            "errors": {
                "type": "object",
                "description": "字段 → 说明，只在 422 出现",
                "additionalProperties": {"type": "array", "items": {"type": "string"}},
            },
            "request_id": {"type": "string"},
        },
    }
