"""The readable document at /api/docs: our own page, without any outside host and without script."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, render_template

from app.api.v1 import openapi, openapi_others
from app.api.v1.codes import CODES
from app.api.v1.contract import ENDPOINTS, Endpoint

bp = Blueprint("api_docs", __name__)

_SAMPLES = {"string": "文字", "integer": 1, "boolean": True}


@dataclass(frozen=True, slots=True)
class Row:
    """One field or parameter."""

    name: str
    type: str
    required: bool
    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Page:
    """One call as a person reads it."""

    spec: Endpoint
    path: str
    parameters: list[Row]
    fields: list[Row]
    answer: list[Row]
    request: str
    response: str
    errors: list[tuple[int, str, str]]


@bp.get("/api/docs")
def index() -> str:
    """GET /api/docs, for whoever writes the mini program."""
    return render_template("api/docs.html", groups=_groups(), others=_others(), codes=CODES)


@functools.cache
def _groups() -> list[tuple[str, str, list[Page]]]:
    groups = [
        (tag, title, [_page(spec) for spec in ENDPOINTS if spec.tag == tag]) for tag, title in openapi.TAGS.items()
    ]
    return [group for group in groups if group[2]]


@functools.cache
def _others() -> list[tuple[str, str, str]]:
    """(method, path, what it is) of the calls that are not the mini program's."""
    calls = openapi_others.paths(openapi.PREFIX).items()
    return [(method.upper(), path, one["summary"]) for path, methods in calls for method, one in methods.items()]


def _page(spec: Endpoint) -> Page:
    document = openapi.build()
    path = openapi.path_of(spec)
    operation = document["paths"][path][spec.method.lower()]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if spec.media:
        data, response = {}, "、".join(spec.media)
    else:
        answer = operation["responses"][str(spec.status)]["content"]["application/json"]["schema"]
        data = answer["properties"]["data"]
        example = {"code": spec.status, "message": "操作成功", "data": _example(data), "request_id": "5f0c…"}
        response = _pretty(example)
    return Page(
        spec=spec,
        path=path,
        parameters=[_parameter(entry) for entry in operation["parameters"]],
        fields=_rows(body) if body else [],
        answer=_rows(data),
        request=_pretty(_example(body)) if body else "",
        response=response,
        errors=[(CODES[code][0], code, CODES[code][1]) for code in openapi.codes_of(spec)],
    )


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    return openapi.build()["components"]["schemas"][reference.rpartition("/")[2]]


def _rows(schema: dict[str, Any], prefix: str = "") -> list[Row]:
    """The fields of an object, those of its objects and lists of objects below them."""
    schema = _resolve(schema)
    rows = []
    for name, part in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        rows.append(_row(prefix + name, part, required))
        plain = _resolve(part)
        if "properties" in plain:
            rows += _rows(plain, f"{prefix}{name}.")
        elif "properties" in _resolve(plain.get("items", {})):
            rows += _rows(plain["items"], f"{prefix}{name}[].")
    return rows


def _row(name: str, schema: dict[str, Any], required: bool) -> Row:
    title = schema.get("title") or ""
    # pydantic titles what has none by its English name.
    return Row(name, _type(schema), required, "" if title.isascii() else title, schema.get("description", ""))


def _parameter(entry: dict[str, Any]) -> Row:
    row = _row(entry["name"], entry["schema"], entry["required"])
    note = entry.get("description", row.note)
    where = {"path": "路径", "header": "请求头"}.get(entry["in"])
    return Row(row.name, row.type, row.required, row.title or where or "", note)


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " 或 ".join(dict.fromkeys(_type(part) for part in schema["anyOf"]))
    plain = _resolve(schema)
    if "enum" in plain:
        return "、".join(str(value) for value in plain["enum"])
    if "const" in plain:
        return str(plain["const"])
    kind = plain.get("type", "object")
    kinds = kind if isinstance(kind, list) else [kind]
    words = {
        "string": {"date": "日期", "date-time": "时间"}.get(plain.get("format"), "文字"),
        "integer": "整数", "boolean": "布尔", "array": "列表", "object": "对象", "null": "null",
    }  # fmt: skip
    if plain.get("pattern", "").startswith("^-?[0-9]"):
        words["string"] = "金额"
    if "maxLength" in plain:
        words["string"] += f" ≤ {plain['maxLength']} 字"
    if "maximum" in plain:
        words["integer"] += f" {plain.get('minimum', 0)}–{plain['maximum']}"
    return " 或 ".join(words[kind] for kind in kinds)


def _example(schema: dict[str, Any]) -> Any:
    if schema.get("examples"):
        return schema["examples"][0]
    plain = _resolve(schema)
    if plain.get("examples"):
        return plain["examples"][0]
    if "properties" in plain:
        return {name: _example(part) for name, part in plain["properties"].items()}
    if "anyOf" in plain:
        return _example(plain["anyOf"][0])
    if "enum" in plain:
        return plain["enum"][0]
    if "const" in plain:
        return plain["const"]
    kind = plain.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [_example(plain["items"])]
    return _SAMPLES.get(kind, {})


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
