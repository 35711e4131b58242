"""Serving receipts: to staff who may see them, as attachments that a browser will not run (W14)."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, url_for

from app.domain.desk import queries
from app.domain.desk.errors import ReceiptNotFound
from app.domain.orders import desk_queries, desk_refunds
from app.domain.people.roles import Permission
from app.flows import receipts
from app.web.permissions import current_actor, requires

bp = Blueprint("receipts", __name__)


@bp.get("/receipts/<int:receipt_id>/where")
@requires(Permission.RECEIPT_VIEW)
def where(receipt_id: int) -> Response:
    """To the page of what a receipt belongs to: an earlier one that a new one looks like is looked at there."""
    row = queries.receipt(receipt_id)
    if row is None:
        raise ReceiptNotFound
    if row.adjustment_id is not None:
        return redirect(url_for("desk.adjustment", adjustment_id=row.adjustment_id))
    if row.withdrawal_id is not None:
        return redirect(url_for("withdrawals.show", withdrawal_id=row.withdrawal_id))
    if row.refund_id is not None:
        return redirect(url_for("orders.refund", refund_no=desk_refunds.number_of(row.refund_id)))
    return redirect(url_for("orders.show", order_id=desk_queries.order_of_entry(row.offline_id)))


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
