"""The form of one message template: a field per wording that may be changed."""

from __future__ import annotations

from wtforms import Field, HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length

from app.domain.outbox import wordings
from app.domain.outbox.kind import Kind, Occasion
from app.domain.outbox.wording import key_of
from app.domain.outbox.wordings import LONGEST, SENTENCE, Template
from app.web.forms_token import TokenForm


def template_form(template: Template) -> TokenForm:
    """The form, filled with the words in force."""
    kind = template.kind
    fields: dict[str, Field] = {"seen_at": HiddenField()}
    for field in kind.fields:
        if field.editable:
            fields[field.key] = _words(field.label, kind)
    fields[SENTENCE] = _sentence(kind)
    for occasion in kind.occasions:
        for key in occasion.words:
            fields[key_of(key, occasion)] = _words(f"{kind.field(key).label}（{occasion.label}）", kind, occasion)
        fields[key_of(SENTENCE, occasion)] = _sentence(kind, occasion)
    form_class = type("WordsForm", (TokenForm,), fields)
    seen = template.updated_at.isoformat() if template.updated_at else ""
    return form_class(data={**template.wording, "seen_at": seen})


def asked_words(form: TokenForm, kind: Kind) -> dict[str, str]:
    """What was typed: field key, or `sentence`, → wording."""
    return {name: form[name].data or "" for name in wordings.built_in(kind)}


def _words(label: str, kind: Kind, occasion: Occasion | None = None) -> Field:
    filled = [Length(max=60, message="太长了：微信最多显示 20 个字"), InputRequired("请填写文字")]
    return StringField(label, validators=filled, description=_facts(kind, occasion))


def _sentence(kind: Kind, occasion: Occasion | None = None) -> Field:
    return TextAreaField(
        f"小程序内消息（{occasion.label}）" if occasion else "小程序内消息",
        validators=[InputRequired("请填写文字"), Length(max=LONGEST, message=f"最多 {LONGEST} 个字")],
        description="家长没有订阅授权时，在小程序里看到的完整句子。" + _facts(kind, occasion),
    )


def _facts(kind: Kind, occasion: Occasion | None) -> str:
    return "可用内容：" + "、".join(f"{{{fact.name}}} {fact.label}" for fact in kind.facts_of(occasion))
