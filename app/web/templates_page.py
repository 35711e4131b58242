"""消息模板: the words of each message type, changed within WeChat's fixed fields, with preview (N13)."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response, request, url_for

from app import config
from app.domain.outbox import wording, wordings
from app.domain.outbox.kind import Kind
from app.domain.outbox.wordings import Preview, Template
from app.domain.people.roles import Permission
from app.errors import Conflict, Invalid
from app.web.errors import status_of
from app.web.forms.refusal import take
from app.web.forms.templates import asked_words, template_form
from app.web.forms_token import TokenForm, request_key
from app.web.permissions import current_actor, requires
from app.web.rendering import hx_redirect, render, toast


def register(bp: Blueprint) -> None:
    """Put the pages under the settings' blueprint."""
    bp.add_url_rule("/templates", "templates", templates)
    bp.add_url_rule("/templates/<kind>", "template", template)
    bp.add_url_rule("/templates/<kind>", "change_template", change_template, methods=["POST"])
    bp.add_url_rule("/templates/<kind>/restore", "restore_template", restore_template, methods=["POST"])


@requires(Permission.TEMPLATE_VIEW)
def templates():
    """All sixteen types."""
    lines = wordings.all_templates()
    samples = {line.kind.type: wordings.preview(line.kind, line.wording).in_app.text for line in lines}
    return render("settings/templates.html", lines=lines, samples=samples)


@requires(Permission.TEMPLATE_VIEW)
def template(kind: str):
    """One type: a preview, and for who may its words to change."""
    shown = wordings.template(kind)
    return _page(shown, template_form(shown))


@requires(Permission.TEMPLATE_EDIT)
def change_template(kind: str):
    """Other words for one type; with `preview` they are shown without being kept."""
    shown = wordings.template(kind)
    form = template_form(shown)
    if not form.validate():
        return _page(shown, form, status=422)
    words = asked_words(form, shown.kind)
    try:
        if "preview" in request.form:
            wordings.checked(shown.kind, words)
            return _page(shown, form)
        wordings.change(
            type=kind,
            asked=words,
            seen_at=_seen(form),
            actor=current_actor(),
            request_key=request_key("settings.template", form, present=lambda _done: {"location": _address(kind)}),
        )
    except (Invalid, Conflict) as error:
        take(form, error)
        return _page(shown, form, status=status_of(error))
    return toast(hx_redirect(_address(kind)), f"已保存「{shown.kind.title}」的文字，之后发出的消息都用它")


@requires(Permission.TEMPLATE_EDIT)
def restore_template(kind: str):
    """Back to the built-in words."""
    shown = wordings.template(kind)
    wordings.change(
        type=kind,
        asked=wordings.built_in(shown.kind),
        seen_at=shown.updated_at,
        actor=current_actor(),
        request_key=request_key("settings.restore_template", present=lambda _done: {"location": _address(kind)}),
    )
    return toast(hx_redirect(_address(kind)), f"「{shown.kind.title}」已恢复原文")


def _address(kind: str) -> str:
    return url_for("settings.template", kind=kind)


def _seen(form: TokenForm) -> datetime | None:
    try:
        return datetime.fromisoformat(form["seen_at"].data or "")
    except ValueError:
        return None


def _previews(kind: Kind, words: dict[str, str]) -> list[tuple[str | None, Preview]]:
    """One for the type and one for each occasion with words of its own: (the occasion in words, preview)."""
    special = [(occasion.label, wordings.preview(kind, words, occasion)) for occasion in kind.occasions]
    return [("平时" if special else None, wordings.preview(kind, words)), *special]


def _page(shown: Template, form: TokenForm, *, status: int = 200) -> Response:
    words = {name: wording.clean(text) for name, text in asked_words(form, shown.kind).items()}
    return render(
        "settings/template.html",
        "settings/_template.html",
        status=status,
        shown=shown,
        kind=shown.kind,
        form=form,
        previews=_previews(shown.kind, words),
        template_id=config.current().templates[shown.kind.type],
        changed=shown.wording != wordings.built_in(shown.kind),
    )
