"""Watching over the ledger by the clock: verify it, cry out, and send its state off the machine (W26, W32, Z7)."""

from __future__ import annotations

import sqlalchemy as sa

from app import clock, money
from app.db import db, transactional
from app.domain.audit.actor import system
from app.domain.ledger import verify
from app.domain.ledger.models import LedgerAnchor
from app.domain.ledger.verify import Report
from app.domain.outbox import service as outbox

#: findings that a card names; `flask ledger verify` lists all
SHOWN = 10

_anchors = LedgerAnchor.__table__


class LedgerBroken(Exception):
    """The ledger does not hold; people have been told."""


def check(*, full: bool) -> str:
    """Verify, wholly or since the last anchor. Raises LedgerBroken after telling the SYSTEM group."""
    report = verify.run(full=full, keep_anchor=full, actor=system("ledger_verify"))
    if not report.sound:
        cry_out(report=report)
        raise LedgerBroken(f"{len(report.findings)} 处不符，第一处：{report.findings[0]}")
    return f"钱包 {report.wallets} 个，读取流水 {report.rows_read} 笔，全部相符"


def send_anchor() -> str:
    """Verify what is new, keep the state, and put its root where no operator of the database can change it."""
    report = verify.run(full=False, keep_anchor=True, actor=system("ledger_anchor"))
    if not report.sound:
        cry_out(report=report)
        raise LedgerBroken(f"{len(report.findings)} 处不符，检查点没有发出")
    return _tell_root(root=str(report.root))


@transactional
def _tell_root(*, root: str) -> str:
    kept = db.session.execute(sa.select(_anchors).where(_anchors.c.root == root).order_by(_anchors.c.id)).first()
    lines = [["根", root]]
    if kept is not None:
        lines += [
            ["钱包", f"{kept.wallets} 个"],
            ["流水", f"{kept.transactions} 笔"],
            ["余额合计", str(kept.balance_sum)],
        ]
    text = "以后可用 flask ledger verify --anchor 加上面的根，核对账本是否仍包含今天的状态。"
    card = {"title": f"账本检查点 {clock.today():%Y-%m-%d}", "colour": "blue", "lines": lines, "text": text}
    outbox.tell_staff("system", "ledger.anchor", card, dedupe=f"anchor:{clock.today()}:{root[:16]}")
    return f"检查点 {root[:16]}…"


@transactional
def cry_out(*, report: Report) -> None:
    """One card per day and set of findings, so that a standing error does not bury the group."""
    lines = [[f"第 {n} 处", str(finding)] for n, finding in enumerate(report.findings[:SHOWN], 1)]
    lines.append(["余额合计", money.yuan(money.from_fen(report.fen))])
    card = {
        "title": f"账本核对不符：{len(report.findings)} 处",
        "colour": "red",
        "lines": lines,
        "text": "请勿修改数据，按运行手册「余额不符」处理。",
        "link": {"text": "系统状态", "path": "/system"},
    }
    signature = "|".join(str(finding) for finding in report.findings[:SHOWN])
    outbox.tell_staff("system", "ledger.broken", card, dedupe=f"{clock.today()}:{signature}", queue="urgent")
