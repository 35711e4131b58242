"""From a payload to the words of a message: facts written by their form, each WeChat field cut to its limits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from app import clock
from app.domain.outbox.kind import Fact, Field, Form, Kind, Occasion

_BRACES = re.compile(r"\{([a-z_]+)\}")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
#: what stands where nothing is known: WeChat refuses an empty value (47003)
NOTHING = "无"


@dataclass(frozen=True, slots=True)
class Words:
    """A message as it is sent. `data` is what WeChat takes: field key → value."""

    title: str
    text: str
    page: str
    data: dict[str, str]


def compose(kind: Kind, payload: dict[str, Any], wording: dict[str, str] | None = None) -> Words:
    """The WeChat message: title, one line per field, page, and the fields' values."""
    facts, occasion = written(kind, payload), kind.occasion(payload.get("occasion"))
    data = {f.key: fit(f.key, fill(words_of(f, occasion, wording), facts)) for f in kind.fields}
    text = "\n".join(f"{f.label}：{data[f.key]}" for f in kind.fields)
    return Words(kind.title, text, page_of(kind, payload), data)


def compose_in_app(kind: Kind, payload: dict[str, Any], wording: dict[str, str] | None = None) -> Words:
    """The in-app message: a sentence, which no limit of WeChat's cuts (N8)."""
    occasion = kind.occasion(payload.get("occasion"))
    sentence = (wording or {}).get(key_of("sentence", occasion)) or (occasion or kind).sentence
    return Words(kind.title, fill(sentence, written(kind, payload)).strip(), page_of(kind, payload), {})


def sample(kind: Kind, occasion: Occasion | None = None) -> dict[str, str]:
    """A payload for previews."""
    facts = {fact.name: fact.sample for fact in kind.facts_of(occasion)}
    return facts | {"occasion": occasion.name} if occasion else facts


def key_of(name: str, occasion: Occasion | None) -> str:
    """Under which name a manager's wording of a field, or of the sentence, is kept for this occasion."""
    return f"{occasion.name}__{name}" if occasion else name


def page_of(kind: Kind, payload: dict[str, Any]) -> str:
    """The mini program's page, with the ids that it opens."""
    query = {name: payload[name] for name in kind.page_args if payload.get(name) is not None}
    return f"{kind.page}?{urlencode(query)}" if query else kind.page


def placeholders(text: str) -> set[str]:
    """Names of the facts that a wording mentions."""
    return set(_BRACES.findall(text))


def loose_braces(text: str) -> bool:
    """Whether a brace stands that belongs to no fact: a slip of the keyboard."""
    return bool(re.search(r"[{}]", _BRACES.sub("", text)))


def fill(text: str, facts: dict[str, str]) -> str:
    """Put facts in the braces. Not str.format: what a manager typed must not reach into objects."""
    return _BRACES.sub(lambda found: facts.get(found[1], ""), text)


def written(kind: Kind, payload: dict[str, Any]) -> dict[str, str]:
    """Every fact of this type and occasion as people read it; one that the payload lacks is empty."""
    facts = kind.facts_of(kind.occasion(payload.get("occasion")))
    return {fact.name: _write(fact, payload.get(fact.name)) for fact in facts}


def words_of(field: Field, occasion: Occasion | None, wording: dict[str, str] | None) -> str:
    """A field's wording on this occasion: the manager's, else the occasion's, else the type's."""
    special = occasion is not None and field.key in occasion.words
    kept = (wording or {}).get(key_of(field.key, occasion if special else None)) if field.editable else None
    return kept or (occasion.words[field.key] if special else field.wording)


def _write(fact: Fact, value: Any) -> str:
    if value is None or value == "":
        return ""
    if fact.form == Form.MONEY:
        return yuan(value)
    if fact.form == Form.TIME:
        return _written_time(datetime.fromisoformat(str(value)))
    if fact.form == Form.DATE:
        day = date.fromisoformat(str(value))
        return f"{day:%Y}年{day:%m}月{day:%d}日"
    return clean(str(value))


def _written_time(moment: datetime) -> str:
    at = clock.local(moment)
    return f"{at:%Y}年{at:%m}月{at:%d}日 {at:%H:%M}"


def yuan(value: Any) -> str:
    """`¥500.00`, `-¥200.00`; the text itself if it is no number."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return clean(str(value))
    return f"{'-' if amount < 0 else ''}¥{abs(amount):.2f}"


def clean(text: str) -> str:
    """One line without control and direction signs: parents' and staff's text is hostile (S4)."""
    spaced = re.sub(r"\s+", " ", text)
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn")).strip()


def fit(key: str, text: str) -> str:
    """Cut a value to what WeChat takes in the field with this key, so that 47003 cannot happen."""
    kind = key.rstrip("0123456789")
    return _FITS.get(kind, _thing)(clean(text)) or _EMPTY.get(kind, NOTHING)


def cut(text: str, length: int) -> str:
    """At most `length` units, with … where something was cut. A sign outside the BMP counts as two, as WeChat does."""
    if _units(text) <= length:
        return text
    kept = ""
    for sign in text:
        if _units(kept + sign) > length - 1:
            break
        kept += sign
    return kept.rstrip() + "…"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _thing(text: str) -> str:
    return cut(text, 20)


def _ascii(text: str) -> str:
    return "".join(c for c in text if " " <= c <= "~")[:32].strip()


def _amount(text: str) -> str:
    """WeChat's amounts have no minus sign and ten digits at most. A debt shows as ¥0.00 here; the remark says it."""
    if text.startswith("-"):
        return "¥0.00"
    found = re.search(r"[0-9]+(\.[0-9]{1,2})?", text)
    return f"¥{found[0]}" if found and sum(c.isdigit() for c in found[0]) <= 10 else ""


def _number(text: str) -> str:
    found = re.search(r"[0-9]{1,20}(\.[0-9]{1,10})?", text)
    return found[0] if found else ""


def _phrase(text: str) -> str:
    return "".join(_HAN.findall(text))[:5]


def _name(text: str) -> str:
    if _HAN.search(text):
        return re.sub(r"[^\u3400-\u4dbf\u4e00-\u9fffA-Za-z·]", "", text)[:10]
    return re.sub(r"[^A-Za-z·.' \-]", "", text)[:20].strip()


def _moment(text: str) -> str:
    """A time or day as `_write` writes them; what is none becomes the present moment."""
    if re.fullmatch(r"[0-9]{4}年[0-9]{2}月[0-9]{2}日( [0-9]{2}:[0-9]{2})?", text):
        return text
    return _written_time(clock.now())


_FITS = {
    "thing": _thing,
    "character_string": _ascii,
    "number": _number,
    "letter": lambda text: re.sub(r"[^A-Za-z]", "", text)[:32],
    "amount": _amount,
    "phrase": _phrase,
    "name": _name,
    "phone_number": lambda text: re.sub(r"[^0-9+\-() ]", "", text).strip()[:17],
    "time": _moment,
    "date": _moment,
}
_EMPTY = {"number": "0", "amount": "¥0.00", "character_string": "-", "letter": "N", "phone_number": "0", "name": "家长"}
