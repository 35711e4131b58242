"""Strict JSON (96.16): what a careless parser lets through is refused before any field is looked at."""

from __future__ import annotations

import json
import math
from typing import Any

from app.errors import Invalid

MAX_DEPTH = 32
#: digits of a whole number: the largest BIGINT has 19
MAX_DIGITS = 19


class _Refused(ValueError):
    """Carries the Chinese sentence."""


def read_object(raw: bytes) -> dict[str, Any]:
    """The request's body as a JSON object. Raises Invalid with the reason under `body`.

    Refused: an empty body, invalid UTF-8, anything but an object, NaN and Infinity, a name that comes twice, more
    than 32 levels, whole numbers of more than 19 digits, NUL and half surrogates in any text.
    """
    if not raw.strip():
        raise _invalid("请求内容为空，应为 JSON 对象")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid("请求内容不是有效的 UTF-8 文字") from None
    try:
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except _Refused as error:
        raise _invalid(str(error)) from None
    except RecursionError:
        raise _invalid(f"JSON 嵌套超过 {MAX_DEPTH} 层") from None
    except ValueError:
        raise _invalid("请求内容不是有效的 JSON") from None
    if not isinstance(value, dict):
        raise _invalid('请求内容应为 JSON 对象，如 {"name": "…"}')
    _walk(value)
    return value


def _invalid(sentence: str) -> Invalid:
    return Invalid.field("body", sentence)


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise _Refused(f"整数超过 {MAX_DIGITS} 位")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _Refused("数字过大")
    return value


def _constant(name: str) -> Any:
    raise _Refused(f"{name} 不是有效的 JSON 数字")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of one text must not see two values: {"amount": "1.00", "amount": "999.00"}.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("同一个字段出现了两次")
    return found


def _walk(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise _invalid(f"JSON 嵌套超过 {MAX_DEPTH} 层")


def _children(value: Any) -> list[Any]:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for name in value:
            _check_text(name)
        return list(value.values())
    elif isinstance(value, list):
        return value
    return []


def _check_text(text: str) -> None:
    if "\0" in text:
        raise _invalid("文字中不能有空字符")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise _invalid("文字中有不完整的字符") from None
