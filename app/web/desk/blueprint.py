"""The money desk's blueprint; the modules beside this one hang their views on it."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint

from app.domain.desk import rules, words
from app.web import forms_token, labels

bp = Blueprint("desk", __name__)


@bp.app_template_global()
def reason_word(code: str) -> str:
    """The reason of an adjustment; an old one that left the list shows as its code."""
    return words.REASON_WORDS.get(code, code)


@bp.app_template_global()
def reason_words(codes: Iterable[str]) -> str:
    """Why another person must approve, as one line."""
    return "、".join(labels.word("approval_reason", code) for code in codes)


@bp.app_template_global()
def max_receipts() -> int:
    """How many receipts one movement of money may have."""
    return rules.MAX_RECEIPTS


@bp.app_template_global()
def new_request_token() -> str:
    """A fresh request token for a form that is not a WTForms form (R5)."""
    return forms_token.new_token()
