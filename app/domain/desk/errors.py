"""What the money desk refuses, with its stable codes."""

from __future__ import annotations

from app.errors import Conflict, Forbidden, Invalid, InvalidState, NotFound


class AdjustmentNotFound(NotFound):
    code = "ADJUSTMENT_NOT_FOUND"
    message = "没有找到这笔调整"


class ReceiptNotFound(NotFound):
    code = "RECEIPT_NOT_FOUND"
    message = "没有找到这个凭证"


class OwnFamily(Forbidden):
    """Nobody adjusts or approves for a family that they belong to (W12)."""

    code = "OWN_FAMILY"
    message = "这是您自己的家庭，不能由您调整或审批，请交给同事办理"


class OwnAdjustment(Forbidden):
    """Nobody approves what they asked for (P10)."""

    code = "OWN_ADJUSTMENT"
    message = "这是您自己申请的，须由另一位同事审批"


class NotTheAuthor(Forbidden):
    code = "NOT_THE_AUTHOR"
    message = "只有申请人本人可以撤回"


class Stale(Conflict):
    """What the person saw is no longer what is there (U12)."""

    code = "STALE"
    message = "您打开页面之后内容有了变化，请核对最新内容再操作"


class BalanceMoved(Stale):
    """`data` carries the balance as it is now."""

    code = "BALANCE_MOVED"
    message = "您填写期间余额有变动，请按最新余额核对后再确认"


class ReceiptMissing(InvalidState):
    code = "RECEIPT_MISSING"
    message = "凭证还没有补齐，补齐后才能审批"


class Lapsed(InvalidState):
    code = "ADJUSTMENT_LAPSED"
    message = "这笔申请已超过审批时限，自动失效。如仍需要，请重新申请"


class UndoWindowOver(InvalidState):
    code = "UNDO_WINDOW_OVER"
    message = "已超过一键撤销的时间，请填写原因申请撤销，由同事审批"


class AlreadyUndone(InvalidState):
    code = "ALREADY_UNDONE"
    message = "这笔调整已经撤销或正在申请撤销，不能再次撤销"


class ExternalNumberUsed(Invalid):
    """A transfer's own number is good once per method (W14)."""

    code = "EXTERNAL_NO_USED"


class BatchNotFound(NotFound):
    code = "BATCH_NOT_FOUND"
    message = "没有找到这个批次"


class BatchAskedBefore(Conflict):
    """The same rows wait for approval, or are being done (W20). `data` names the batch where it is known."""

    code = "BATCH_ASKED_BEFORE"
    message = "同样内容的批次正在等待审批或正在执行，不能再提交一次"
