"""Serving receipts: to staff who may see them, as attachments that a browser will not run (W14)."""

from __future__ import annotations

from flask import Blueprint, Response, make_response

from app.domain.people.roles import Permission
from app.flows import receipts
from app.web.permissions import current_actor, requires

bp = Blueprint("receipts", __name__)


@bp.get("/receipts/<int:receipt_id>")
@requires(Permission.RECEIPT_VIEW)
def show(receipt_id: int) -> Response:
    """One file. Pages show pictures by <img>, for which an attachment is as good; opened by itself it is saved."""
    file = receipts.read(receipt_id, actor=current_actor())
    response = make_response(file.data)
    response.headers["Content-Type"] = file.media_type
    response.headers["Content-Disposition"] = f'attachment; filename="{file.filename}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; img-src 'self'"
    response.headers["Cache-Control"] = "no-store"
    return response
