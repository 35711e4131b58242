"""The morning's digest to the money group (U17): what waits, each line a way into the list of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from app import clock, money
from app.db import db, db_now, transactional
from app.domain.makeups import desk_queries as makeups
from app.domain.makeups import lots
from app.domain.makeups.desk_queries import CreditFilter
from app.domain.outbox import queries as messages
from app.domain.outbox import service as outbox
from app.domain.outbox.queries import NoticeFilter
from app.domain.policy import service as policy
from app.domain.reports import home, insiders, waiting
from app.domain.reports.payments import Span

#: credits and minutes that end within so many days are named (U17)
ENDING_DAYS = 3
#: a scheduler that was away this long after the hour sends nothing: the day has begun without it
LATE = timedelta(hours=4)

#: [label, value, path]
Line = list[str]


def send() -> bool:
    """The periodic job: once a day, from the policy's hour on; whether it was sent now."""
    now = db_now()
    due = datetime.combine(clock.local(now).date(), policy.get("digest_at"), clock.STUDIO_ZONE)
    db.session.rollback()
    return due <= now < due + LATE and _send(day=f"{due:%Y-%m-%d}")


@transactional
def _send(*, day: str) -> bool:
    told = lines()
    card = {"title": f"今日待办 {day}", "colour": "orange" if told else "green", "lines": told,
            "link": {"text": "打开运营台", "path": "/"}}  # fmt: skip
    if not told:
        card["text"] = "没有需要处理的事项。"
    return outbox.tell_staff("money", "staff.digest", card, dedupe=f"digest:{day}") is not None


def lines() -> list[Line]:
    """What waits now; what counts nothing is left out. Each path leads to the rows that its line counts."""
    owing, waits = home.arrears(), waiting.count(waiting.NAMES)
    ending = lots.left(ENDING_DAYS)
    yesterday = clock.today() - timedelta(days=1)
    found = (
        (owing.families, "欠费", f"{owing.families} 户，合计 {money.yuan(owing.total)}", "/arrears"),
        (waits["arrears_tasks"], "长期欠费待联系", "{} 户", "/arrears?show=late"),
        (makeups.count(CreditFilter(ending=ENDING_DAYS)), f"{ENDING_DAYS} 天内到期的待补课", "{} 次",
         f"/makeups?ending={ENDING_DAYS}"),
        (ending.minutes, f"{ENDING_DAYS} 天内到期的课时补偿", f"{ending.students} 位学员，共 {ending.minutes} 分钟",
         f"/makeups/minutes?ending={ENDING_DAYS}"),
        (_unreached(), "微信联系不上、今天有课的家庭", "{} 户",
         f"/notices?outcome=missed&classes=today&from={yesterday}"),
        (waits["cases"], "资金异常", "{} 项", "/exceptions"),
        (waits["differences"], "对账差异", "{} 条", "/reconcile"),
        (waits["approvals"], "待审批的调整", "{} 笔", "/approvals"),
        (waits["receipts_missing"], "待补凭证", "{} 笔", "/adjustments?status=awaiting_receipt"),
        (waits["refunds_asked"], "待审批的退款", "{} 笔", "/refunds?status=requested"),
        (waits["late_refunds"], "过时限的退款", "{} 笔", "/late-refunds"),
        (waits["withdrawals_asked"] + waits["withdrawals_to_pay"], "待处理的提现", "{} 笔", "/withdrawals?status=open"),
        (waits["makeups_asked"], "待安排的补课", "{} 条", "/makeups?asked=1"),
        (waits["questions"], "待答复的流水疑问", "{} 条", "/questions"),
        (insiders.count(Span(yesterday, yesterday)), "昨日内控提示", "{} 条",
         f"/reports/insiders?from={yesterday}&to={yesterday}"),
    )  # fmt: skip
    return [[label, words.format(count), path] for count, label, words, path in found if count]


def _unreached() -> int:
    """Families with a class today, one of whose messages since yesterday morning WeChat did not take."""
    missed = NoticeFilter(outcome="missed", date_from=clock.today() - timedelta(days=1), families=home.families_today())
    families = messages.select(missed).with_only_columns(sa.func.count(sa.distinct(sa.column("family_id"))))
    return db.session.scalar(families)
