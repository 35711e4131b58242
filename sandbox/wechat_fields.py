"""What WeChat accepts as the value of each template field type, as its documentation states it.

Where the documentation leaves room, the narrower reading is taken: what passes here passes at WeChat.
"""

from __future__ import annotations

import re
from typing import Any

from .templates_catalog import LIVE_SECTIONS, Template

HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
_CLOCK = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?"
_DAY = r"\d{4}(年(0?[1-9]|1[0-2])月(0?[1-9]|[12]\d|3[01])日|[-/.](0?[1-9]|1[0-2])[-/.](0?[1-9]|[12]\d|3[01]))"
_TIME = rf"({_DAY} ?)?{_CLOCK}"
_DATE = rf"{_DAY}( ?{_CLOCK})?"

RULES = {
    "thing": re.compile(r"[^\x00-\x1f\x7f]{1,20}"),
    "number": re.compile(r"(?=.{1,32}\Z)\d+(\.\d+)?"),
    "letter": re.compile(r"[A-Za-z]{1,32}"),
    "symbol": re.compile(rf"[^\w\s{HAN}]{{1,5}}"),
    # Full-width signs count as Chinese to WeChat, so this is printable ASCII.
    "character_string": re.compile(r"[\x20-\x7e]{1,32}"),
    "time": re.compile(rf"{_TIME}( ?~ ?{_TIME})?"),
    "date": re.compile(rf"{_DATE}( ?~ ?{_DATE})?"),
    # One currency sign, ten digits in all, perhaps a fraction, perhaps 元. No minus sign and no separators.
    "amount": re.compile(r"(?=[^\d]?(?:\.?\d){1,10}元?\Z)[¥￥$€£]?\d+(\.\d+)?元?"),
    "phone_number": re.compile(r"[\d+\-() ]{1,17}"),
    "car_number": re.compile(rf"[{HAN}A-Za-z0-9][A-Za-z0-9]{{0,6}}[{HAN}A-Za-z0-9]?"),
    "name": re.compile(rf"(?=.*[{HAN}])[{HAN}A-Za-z·. ]{{1,10}}|[A-Za-z·.'\- ]{{1,20}}"),
    "phrase": re.compile(rf"[{HAN}]{{1,5}}"),
}
# UTF-16 units; the times and amounts are short by their form, and a period of two times is the longest.
MOST = {"thing": 20, "time": 64, "date": 64}
_KEY = re.compile(r"([a-z_]+?)\d+")
_PAGE = re.compile(r"/?pages/([A-Za-z0-9_-]+)(/[A-Za-z0-9_-]+)*(\?[^\s]*)?")


def accepts(key: str, value: str) -> bool:
    """Whether a value may stand in the field with this key (`thing1`, `amount2`, …)."""
    kind = _KEY.fullmatch(key)
    rule = RULES.get(kind[1]) if kind else None
    # WeChat counts as JavaScript does: an emoji is two.
    units = len(value.encode("utf-16-le", "surrogatepass")) // 2
    return rule is not None and rule.fullmatch(value) is not None and units <= MOST.get(kind[1], 32)


def complaint(template: Template, data: Any) -> str | None:
    """WeChat's errmsg for 47003, which names the first field that is wrong; None when all is well."""
    if not isinstance(data, dict) or not data:
        return "argument invalid! data is empty"
    for field in template.fields:
        entry = data.get(field.key)
        value = entry.get("value") if isinstance(entry, dict) else None
        if value is None or value == "":
            return f"argument invalid! data.{field.key}.value is empty"
        # Numbers are taken as WeChat takes them: by their text. A boolean is nobody's value.
        if isinstance(value, bool) or not isinstance(value, str | int):
            return f"argument invalid! data.{field.key}.value invalid"
        if not accepts(field.key, str(value)):
            return f"argument invalid! data.{field.key}.value invalid"
    extra = next((key for key in data if key not in {f.key for f in template.fields}), None)
    return None if extra is None else f"argument invalid! data.{extra}.value invalid"


def page_exists(page: str) -> bool:
    found = _PAGE.fullmatch(page)
    return found is not None and found[1] in LIVE_SECTIONS
