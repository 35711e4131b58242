"""Forms of the reconciliation: shape only; app/domain/reconcile decides."""

from __future__ import annotations

from wtforms import StringField

from app.web.forms_token import TokenForm


class RunForm(TokenForm):
    """Which day's bill is compared now."""

    day = StringField("日期")
