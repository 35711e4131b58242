"""The hidden token that makes a form's second submission find the first one's answer (R5).

A form is rendered with a fresh random token. The token comes back with a refused form, so mending a field is
the same request; only a success is kept under it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import file_digest
from typing import Any

from flask import request
from flask_wtf import FlaskForm
from wtforms import HiddenField

from app import ids
from app.db import RequestKey
from app.errors import Invalid
from app.web.permissions import current_actor

FIELD = "request_token"
_WELL_FORMED = re.compile(r"[0-9a-f]{32}")
#: how a person confirms is not what they ask for: a dialog answered twice is one request
_NOT_ASKED = frozenset({FIELD, "csrf_token", "confirmed", "typed_amount"})


def new_token() -> str:
    """A fresh token for a form that is not a WTForms form."""
    return ids.new_hex()


class DeskForm(FlaskForm):
    """Any form of the portal: what a field says by itself is Chinese."""

    class Meta(FlaskForm.Meta):
        locales = ("zh",)


class TokenForm(DeskForm):
    """A form that creates or moves something; `form.hidden_tag()` carries both tokens."""

    request_token = HiddenField(default=new_token)


def request_key(
    view_name: str, form: FlaskForm | None = None, *, present: Callable[[Any], dict[str, Any]] | None = None
) -> RequestKey:
    """The idempotency key of this submission. Raises Invalid when the token is missing or malformed.

    `present` turns the use case's result into what a repetition is answered with; a `location` in it is where
    the portal sends a person who submitted twice.
    """
    token = (form.data.get(FIELD) if form is not None else None) or request.form.get(FIELD, "")
    if not _WELL_FORMED.fullmatch(token):
        raise Invalid.field(FIELD, "页面已过期，请刷新后重新填写")
    return RequestKey(
        scope=f"staff:{current_actor().id}",
        key=token,
        fingerprint=RequestKey.digest(view_name, request.path, _fields(), _files()),
        present=present,
    )


def _fields() -> list[list[str]]:
    pairs = request.form.items(multi=True)
    return sorted([name, value] for name, value in pairs if name not in _NOT_ASKED)


def _files() -> list[list[str]]:
    """Uploaded files by their content: another picture under the same token is another request."""
    digests = []
    for name, upload in request.files.items(multi=True):
        if upload.filename:
            digests.append([name, file_digest(upload.stream, "sha256").hexdigest()])
            upload.stream.seek(0)
    return sorted(digests)
