"""A manager's own words for a message type, within its fixed fields (N13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.db import RequestKey, db, transaction_memo, transactional
from app.domain.audit import service as audit
from app.domain.audit.actor import Actor
from app.domain.outbox import wording
from app.domain.outbox.kind import Kind, Occasion
from app.domain.outbox.kinds import KINDS
from app.domain.outbox.models import TemplateWording
from app.domain.outbox.wording import Words
from app.domain.people import roles
from app.domain.people.roles import Permission
from app.errors import Conflict, Invalid, NotFound
from app.prepared import Prepared

_table = TemplateWording.__table__

#: the in-app text's name among the fields
SENTENCE = "sentence"
#: characters of an in-app text
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Template:
    """A type with the words in force and who changed them."""

    kind: Kind
    wording: dict[str, str]
    updated_at: datetime | None
    updated_by: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """How a message with sample facts would look; `cut` names the fields whose sample WeChat's limit cuts."""

    wechat: Words
    in_app: Words
    cut: tuple[str, ...]


_of = Prepared(sa.select(_table.c.wording).where(_table.c.type == sa.bindparam("name")))


def of(type: str) -> dict[str, str]:
    """Field key, or `sentence`, → wording; empty when the built-in words stand."""
    memo = transaction_memo()
    if memo is None:
        return db.session.scalar(sa.select(_table.c.wording).where(_table.c.type == type)) or {}
    # A round of offers tells five hundred parents in one transaction, all in the same words.
    kept = memo.setdefault("wordings", {})
    if type not in kept:
        row = _of.row({"name": type})
        kept[type] = (row[0] if row else None) or {}
    return kept[type]


def all_templates() -> list[Template]:
    """Every type, in the order of 96.72."""
    kept = {row.type: row for row in db.session.execute(sa.select(_table))}
    return [_template(kind, kept.get(name)) for name, kind in KINDS.items()]


def template(type: str) -> Template:
    """One type. Raises NotFound."""
    if type not in KINDS:
        raise NotFound("没有这种消息")
    row = db.session.execute(sa.select(_table).where(_table.c.type == type)).first()
    return _template(KINDS[type], row)


def built_in(kind: Kind) -> dict[str, str]:
    """The words that may be changed, as they are built in: field key → wording, those of occasions after the rest."""
    words = {field.key: field.wording for field in kind.fields if field.editable} | {SENTENCE: kind.sentence}
    for occasion in kind.occasions:
        words |= {wording.key_of(key, occasion): text for key, text in occasion.words.items()}
        words[wording.key_of(SENTENCE, occasion)] = occasion.sentence
    return words


def preview(kind: Kind, words: dict[str, str], occasion: Occasion | None = None) -> Preview:
    """The message with these words and the sample facts."""
    facts = wording.sample(kind, occasion)
    wechat = wording.compose(kind, facts, words)
    written = wording.written(kind, facts)
    cut = []
    for field in kind.fields:
        whole = wording.clean(wording.fill(wording.words_of(field, occasion, words), written))
        if field.editable and wechat.data[field.key] != whole:
            cut.append(field.key)
    return Preview(wechat, wording.compose_in_app(kind, facts, words), tuple(cut))


def checked(kind: Kind, asked: dict[str, str]) -> dict[str, str]:
    """What differs from the built-in words, cleaned. Raises Invalid naming each wrong field."""
    errors: dict[str, list[str]] = {}
    changed: dict[str, str] = {}
    for key, built in built_in(kind).items():
        text = wording.clean(asked.get(key, built))
        problem = _problem(kind, key, text)
        if problem:
            errors[key] = [problem]
        elif text != built:
            changed[key] = text
    if errors:
        raise Invalid(errors=errors)
    return changed


@transactional
def change(
    *, type: str, asked: dict[str, str], seen_at: datetime | None, actor: Actor, request_key: RequestKey | None = None
) -> Template:
    """Keep these words for a type; words equal to the built-in ones stand for those.

    `seen_at` is when the words that the person saw were written. Raises NotFound, Invalid, Conflict when somebody
    else changed them since.
    """
    roles.require(actor, Permission.TEMPLATE_EDIT)
    kind = template(type).kind
    row = db.session.execute(sa.select(_table).where(_table.c.type == type).with_for_update()).first()
    if (row.updated_at if row else None) != seen_at:
        raise Conflict("刚才有人修改过这个模板，请刷新后再改")
    words = checked(kind, asked)
    before = row.wording if row else {}
    if words != before:
        _write(type, words, row, actor)
        audit.record(
            actor,
            "template.changed" if words else "template.restored",
            target_type="template",
            target_id=type,
            before=before,
            after=words,
        )
    return template(type)


def _write(type: str, words: dict[str, str], row: sa.Row | None, actor: Actor) -> None:
    values = {"wording": words, "updated_at": clock.now(), "updated_by": actor.name[:64]}
    if row is not None:
        db.session.execute(_table.update().where(_table.c.type == type).values(values))
        return
    try:
        db.session.execute(_table.insert().values(type=type, **values))
    except IntegrityError:
        raise Conflict("刚才有人修改过这个模板，请刷新后再改") from None


def _problem(kind: Kind, key: str, text: str) -> str | None:
    if not text:
        return "请填写文字；想用原文，请点「恢复原文」"
    occasion, _, name = key.rpartition("__")
    known = kind.facts_of(kind.occasion(occasion))
    unknown = wording.placeholders(text) - {fact.name for fact in known}
    if unknown:
        return f"没有这些内容：{'、'.join('{' + name + '}' for name in sorted(unknown))}"
    if wording.loose_braces(text):
        return "花括号不成对，请检查"
    if name == SENTENCE:
        return f"最多 {LONGEST} 个字" if len(text) > LONGEST else None
    fixed = wording.fill(text, {})
    return f"固定文字超过 20 个字（现在 {len(fixed)} 个），微信会截断" if wording.cut(fixed, 20) != fixed else None


def _template(kind: Kind, row: sa.Row | None) -> Template:
    if row is None:
        return Template(kind, built_in(kind), None, None)
    return Template(kind, built_in(kind) | row.wording, row.updated_at, row.updated_by)
