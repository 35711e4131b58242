"""The ledger verified whole by a worker, with its progress; cancelled between two packs of rows (U11, W32)."""

from __future__ import annotations

from dataclasses import asdict

from app import money
from app.domain.audit.actor import system
from app.domain.ledger import verify, watch
from app.domain.ledger.verify_job import KIND
from app.domain.longjobs import whole
from app.money import from_fen

__all__ = ["KIND", "do_row"]

#: findings that the job's page names; `flask ledger verify` lists all
SHOWN = 100


def do_row(*, job_id: int, owner: str) -> int:
    """Verify everything from the first row on; returns 0. What does not hold is told to the SYSTEM group at once, as
    the nightly run does, and is the result, no failure. Raises LeaseLost when it was cancelled."""
    whole.begin(job_id=job_id, owner=owner)
    report = verify.run(
        full=True, actor=system("ledger verify"),
        progress=lambda rows: whole.advance(job_id=job_id, owner=owner, done=rows),
    )  # fmt: skip
    if not report.sound:
        watch.cry_out(report=report)
    result = {
        "sound": report.sound, "wallets": report.wallets, "rows": report.rows_read, "root": report.root,
        "sum": money.yuan(from_fen(report.fen)), "count": len(report.findings),
        "findings": [asdict(one) | {"text": str(one)} for one in report.findings[:SHOWN]],
    }  # fmt: skip
    whole.end(job_id=job_id, owner=owner, done=report.rows_read, result=result)
    return 0
