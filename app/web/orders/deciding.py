"""Deciding on an order, a refund or a withdrawal from its page: done and shown as it now is, or shown with why not."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from app.db import db
from app.errors import Conflict, Forbidden, Invalid, Unavailable
from app.web.errors import status_of
from app.web.forms import refusal
from app.web.orders.blueprint import CHANGED
from app.web.rendering import redirect_or_fragment, render, toast, trigger
from app.web.security import limit_money_forms

#: what a refusal on these pages may be; everything else is an error page
REFUSED = (Invalid, Conflict, Forbidden, Unavailable)


def decided(
    act: Callable[[], str], context: Callable[[], dict], *, url: str, page: str, fragment: str, changed: str = CHANGED,
    **forms,
) -> Response:  # fmt: skip
    """Do it and show `context` as it now is, telling browsers that it `changed`; what was refused is said above it, or
    beside its field in `forms`."""
    limit_money_forms()
    try:
        said = act()
    except REFUSED as error:
        db.session.rollback()
        shown = context() | {"error": error}
        if isinstance(error, Invalid) and forms:
            refusal.take(next(iter(forms.values())), error)
            shown |= {"error": None} | forms
        return render(page, fragment, status=status_of(error), **shown)
    response = redirect_or_fragment(url, fragment, **context())
    trigger(response, changed)
    return toast(response, said)
