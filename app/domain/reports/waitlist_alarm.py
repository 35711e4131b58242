"""Telling the staff when the waitlist or the makeups did not keep their word yesterday (Q25)."""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.db import db, transactional
from app.domain.outbox import service as outbox
from app.domain.reports import makeups_checks, waitlist_checks
from app.domain.reports.payments import Span

_WORDS = {
    "notices": "名额通知在 10 秒内送达",
    "cutoffs": "候补在截止时刻关闭",
    "bookings": "补课预约成功",
    "minutes": "课时补偿账目正确",
}


def tell() -> list[str]:
    """Look at yesterday; a card for the system group where a promise fell below its goal. Returns what did."""
    yesterday = clock.today() - timedelta(days=1)
    span = Span(yesterday, yesterday)
    found = {name: check(span) for name, check in (waitlist_checks.CHECKS | makeups_checks.CHECKS).items()}
    db.session.rollback()
    broken = {name: check for name, check in found.items() if check.alarm}
    if broken:
        _tell(day=f"{yesterday:%m月%d日}", dedupe=f"{yesterday}", broken=broken)
    return list(broken)


@transactional
def _tell(
    *, day: str, dedupe: str, broken: dict[str, waitlist_checks.Check | makeups_checks.Check]
) -> None:  # fmt: skip
    lines = [
        [_WORDS[name], f"{check.kept}/{check.judged}（{check.rate:.0%}，目标 {check.goal:.0%}）"]
        for name, check in broken.items()
    ]
    # A card has one link: that of the first promise that was broken.
    if next(iter(broken)) in waitlist_checks.CHECKS:
        link = {"text": "查看候补分析", "path": "/reports/waitlist"}
    else:
        link = {"text": "查看补课分析", "path": "/reports/makeups"}
    outbox.tell_staff(
        "system", "staff.waitlist_promises",
        {"title": f"候补与补课未达标：{day}", "colour": "red", "lines": lines, "link": link},
        dedupe=dedupe,
    )  # fmt: skip
