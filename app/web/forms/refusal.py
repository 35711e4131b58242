"""Bringing what the domain refused back into the form, beside the fields that it names (U12)."""

from __future__ import annotations

from wtforms import Form, HiddenField

from app.errors import DomainError
from app.web.forms_token import FIELD, new_token


def take(form: Form, error: DomainError) -> None:
    """Put the sentences of a refusal at their fields; what names no visible field goes above them all."""
    for name, sentences in (error.errors or {"": [error.message]}).items():
        if name in form and not isinstance(form[name], HiddenField):
            form[name].errors = [*form[name].errors, *sentences]
            continue
        form.form_errors.extend(sentences)
        if name == FIELD:
            form[name].data = new_token()  # the refused one would be refused again
