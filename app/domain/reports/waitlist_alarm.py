"""Telling the staff when the waitlist did not keep its word yesterday (Q25)."""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.db import db, transactional
from app.domain.outbox import service as outbox
from app.domain.reports import waitlist_checks
from app.domain.reports.payments import Span
from app.domain.reports.waitlist_checks import Check

_WORDS = {"notices": "名额通知在 10 秒内送达", "cutoffs": "候补在截止时刻关闭"}


def tell() -> list[str]:
    """Look at yesterday; a card for the system group where a promise fell below its goal. Returns what did."""
    yesterday = clock.today() - timedelta(days=1)
    found = {name: check(Span(yesterday, yesterday)) for name, check in waitlist_checks.CHECKS.items()}
    db.session.rollback()
    broken = {name: check for name, check in found.items() if check.alarm}
    if broken:
        _tell(day=f"{yesterday:%m月%d日}", dedupe=f"{yesterday}", broken=broken)
    return list(broken)


@transactional
def _tell(*, day: str, dedupe: str, broken: dict[str, Check]) -> None:
    lines = [
        [_WORDS[name], f"{check.kept}/{len(check.promises)}（{check.rate:.0%}，目标 {check.goal:.0%}）"]
        for name, check in broken.items()
    ]
    outbox.tell_staff(
        "system", "staff.waitlist_promises",
        {"title": f"候补未达标：{day}", "colour": "red", "lines": lines,
         "link": {"text": "查看候补分析", "path": "/reports/waitlist"}},
        dedupe=dedupe,
    )  # fmt: skip
