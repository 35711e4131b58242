"""What the scheduler runs (app/domain/outbox/schedule.py names these). Each returns one short line for people."""

from __future__ import annotations

import time
from datetime import timedelta

from app import clock, doorbell, health
from app.domain.audit import seals
from app.domain.audit.actor import system
from app.domain.bookings import reminders as class_reminders
from app.domain.changes import cancel_session
from app.domain.desk import approvals, bulk_decide, reminders
from app.domain.ledger import arrears, watch
from app.domain.makeups import asking, expiry
from app.domain.offers import advance as offers
from app.domain.outbox import housekeeping
from app.domain.people import attempts, limits
from app.domain.questions import service as questions
from app.domain.reconcile import health as health_of_money
from app.domain.reports import digest, escalation, waitlist_alarm
from app.domain.retention import cleanup, quiet
from app.domain.withdrawals import reminders as withdrawal_reminders
from app.flows import bills, delivery, longjobs, payment_jobs, receipts, reconcile, refunds, shipping

#: seconds of one row's place in the queue, after which the sweep asks for it again
_TURN = 15
#: how many messages, and for how many seconds, the scheduler sends by itself while Redis is away
_BY_HAND, _SECONDS = 50, 4.0


def outbox_sweep() -> str:
    """Hand to the workers what nobody rang for; while Redis is away, send some of it here."""
    rows = delivery.overdue()
    turn = int(time.time()) // _TURN
    for number, (row_id, queue, tries) in enumerate(rows):
        if not doorbell.enqueue_delivery(queue, row_id, f"{tries}-{turn}"):
            sent = _send_here(rows[number:])
            return f"Redis 不可用：直接发送 {sent} 条，{len(rows) - number - sent} 条等待"
    return f"交给后台 {len(rows)} 条"


def _send_here(rows: list[tuple[int, str, int]]) -> int:
    began, done = time.monotonic(), 0
    for row_id, _queue, _tries in sorted(rows, key=lambda row: doorbell.QUEUES.index(row[1]))[:_BY_HAND]:
        if time.monotonic() - began > _SECONDS:
            break
        delivery.deliver(row_id)
        done += 1
    return done


def cards_collect() -> str:
    """Send the cards that wait for their group's pace (N9)."""
    return f"处理 {delivery.collect_cards()} 个群"


def credits_expire() -> str:
    """Credits and minutes whose end has passed."""
    return f"结束 {expiry.expire()} 笔"


def makeups_remind() -> str:
    """Families whose credits or minutes end soon."""
    return f"提醒 {expiry.remind()} 笔"


def makeup_requests() -> str:
    """Requests for a makeup that nobody answered."""
    return f"提醒 {asking.remind_staff()} 条"


def questions_remind() -> str:
    """Questions about transactions that nobody answered (W28)."""
    return f"提醒 {questions.remind_staff()} 个"


def digest_morning() -> str:
    """What waits, to the money group."""
    return "已发送" if digest.send() else "今天的已发送或未到时间"


def adjustments_lapse() -> str:
    """Adjustments that nobody decided in time."""
    return f"失效 {approvals.lapse_due()} 笔"


def batches_lapse() -> str:
    """Batches that nobody decided in time, and drafts that nobody asked for."""
    return f"结束 {bulk_decide.lapse_due()} 批"


def long_jobs_sweep() -> str:
    """Long work that nobody works on: queued, or its worker was killed (U11)."""
    return f"继续 {longjobs.sweep()} 个"


def receipts_remind() -> str:
    """Adjustments whose receipt is late."""
    return f"提醒 {reminders.remind_missing_receipts()} 笔"


def withdrawals_remind() -> str:
    """Withdrawals that nobody dealt with (W21)."""
    return f"提醒 {withdrawal_reminders.remind_waiting()} 笔"


def exceptions_escalate() -> str:
    """What has waited for a day or three on the exceptions board (Z16)."""
    return f"提醒 {escalation.escalate()} 项"


def classes_remind() -> str:
    """Families whose children have a class tomorrow (B10)."""
    return f"提醒 {class_reminders.remind()} 个预约"


def classes_cancel() -> str:
    """Bookings of cancelled classes that a killed process left (C2)."""
    return f"补办 {cancel_session.settle_left()} 个预约"


def waitlist_advance() -> str:
    """Queues in which something is due: seats freed, deadlines past, calls to be made (Q13)."""
    return f"推进 {offers.advance_due()} 节课"


def waitlist_promises() -> str:
    """Whether yesterday's offers, queues, makeups and minutes were as promised (Q25)."""
    return "未达标：" + "、".join(broken) if (broken := waitlist_alarm.tell()) else "达标"


def payments_query() -> str:
    """Payments that WeChat has not told us of (O22)."""
    return f"查询 {payment_jobs.query_due()} 笔"


def holds_expire() -> str:
    """Seats whose hold has lapsed (O7)."""
    return f"释放 {payment_jobs.retire_holds()} 个座位"


def orders_expire() -> str:
    """Orders whose time is over (O7)."""
    return f"处理 {payment_jobs.expire_orders()} 个订单"


def refunds_query() -> str:
    """Refunds to send, and those that WeChat has not told us of (O16)."""
    return f"处理 {refunds.run_due()} 笔"


def shipping_report() -> str:
    """Paid trials that WeChat wants to know delivered (O20)."""
    return f"上报 {shipping.report_due()} 笔"


def reconcile_day() -> str:
    """WeChat's bill of yesterday: what neither callback nor question told is settled, the rest compared (W24, I-25)."""
    if not bills.has_account():
        return "没有开通微信支付"
    done = bills.reconcile_due(system("微信账单"))
    if not done:
        return "账单已核对"
    taken = [one.taken for _, one in done]
    on_board = sum(one.on_board for one in taken)
    said = f"账单 {sum(one.payments for one in taken)} 笔，补记 {sum(one.settled for one in taken)} 笔"
    said += f"，异常 {on_board} 笔" if on_board else ""
    return f"{said}，差异 {sum(one.outcome.found for _, one in done)} 项"


def reconcile_books() -> str:
    """Documents and movements against each other (W24)."""
    done = reconcile.check_books(system("对账"))
    return f"{len(done)} 项核对，差异 {sum(outcome.found for _, outcome in done)} 项"


def money_health() -> str:
    """What is new in the money (W26)."""
    return _health(full=False)


def money_health_full() -> str:
    """All of the money (W26)."""
    return _health(full=True)


def _health(*, full: bool) -> str:
    broken = health_of_money.run(full=full)
    return "不符：" + "、".join(health_of_money.BY_NAME[name].word for name in broken) if broken else "全部相符"


def callbacks_cleanup() -> str:
    """Nonces that no callback can use again."""
    return f"清理 {payment_jobs.forget_nonces()} 条"


def arrears_escalate() -> str:
    """Arrears that last (N7)."""
    done = arrears.escalate()
    return f"提醒 {done.told} 户" + ("，已列给资金群" if done.listed else "")


def receipts_orphans() -> str:
    """Stored files that belong to no receipt."""
    return f"清理 {receipts.sweep_orphans()} 个文件"


def audit_seal() -> str:
    """Seal what is a minute old (R7)."""
    return f"封存 {seals.seal_due()} 条"


def ledger_check() -> str:
    """What is new since the last anchor."""
    return watch.check(full=False)


def ledger_verify() -> str:
    """Every row, every night."""
    return watch.check(full=True)


def ledger_anchor() -> str:
    """The state of the ledger, off the machine (Z7)."""
    return watch.send_anchor()


def clock_offset() -> str:
    """How far this machine's clock is from the database's (Z13); the alert DeskClockOff tells of too much."""
    return f"相差 {health.clock_offset():+.3f} 秒"


def request_keys_cleanup() -> str:
    """Kept answers that nobody will ask for any more."""
    return f"清理 {housekeeping.forget_requests()} 条"


def sign_in_cleanup() -> str:
    """Counts that no lockout and no limit looks at any more."""
    before = clock.now() - timedelta(days=7)
    failures = attempts.forget_before(moment=before)
    counts = limits.forget_before(moment_seconds=int(before.timestamp()))
    return f"清理 {failures + counts} 条"


def data_cleanup() -> str:
    """What has been kept long enough (S12)."""
    gone = [f"{line.word} {line.rows}" for line in cleanup.run(system("data_cleanup")) if line.rows]
    return "清理 " + "、".join(gone) if gone else "没有到期的数据"


def families_erase() -> str:
    """Families of whom nobody has heard for years (S8)."""
    return f"删除 {quiet.erase_due(system('families_erase'))} 户的个人信息"
