"""Every alert (docs/operations/alerts.md says what to do, one section each)."""

from __future__ import annotations

from datetime import timedelta

from app.domain.watch.rules import Form, Pick, Rule, Severity

_M, _H, _D = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_CRITICAL, _WARNING = Severity.CRITICAL, Severity.WARNING


def _pick(metric: str, *where: tuple[str, str, str]) -> Pick:
    return Pick(metric, where)


RULES: tuple[Rule, ...] = (
    # ── the machinery ───────────────────────────────────────────────────────────────────────────────
    Rule("DeskDown", _CRITICAL, "数据库或数据表不可用", "检查数据库是否运行、flask db upgrade 是否完成。", Form.VALUE,
         _pick("desk_up", ("part", "=~", "database|schema")), 1, 'desk_up{part="database"} 0',
         'desk_up{part="redis"} 0', below=True, lasts=_M),
    Rule("DeskDegraded", _WARNING, "部分组件异常", "在系统状态页看哪一部分异常，按说明恢复。", Form.VALUE,
         _pick("desk_up", ("part", "!~", "database|schema")), 1, 'desk_up{part="redis"} 0.5',
         'desk_up{part="redis"} 1', below=True, lasts=5 * _M),
    Rule("DeskClockOff", _CRITICAL, "时钟偏差过大", "截止时间按数据库时钟判断，请检查两边的 NTP 对时。", Form.AWAY,
         _pick("desk_clock_offset_seconds"), 2, "desk_clock_offset_seconds -3.2",
         "desk_clock_offset_seconds -1.9", lasts=2 * _M, unit=" 秒"),
    Rule("DeskFiguresMissing", _WARNING, "部分指标读不出来", "看应用日志里以 metrics 开头的警告。", Form.VALUE,
         _pick("desk_metrics_missing"), 0, 'desk_metrics_missing{read="jobs"} 1',
         'desk_metrics_missing{read="jobs"} 0', lasts=5 * _M),
    Rule("DeskOutboxLate", _WARNING, "消息发送积压", "确认 flask worker 在运行；看飞书与微信是否限流。", Form.VALUE,
         _pick("desk_outbox_oldest_seconds"), "alert_outbox_late", 'desk_outbox_oldest_seconds{queue="urgent"} 90',
         'desk_outbox_oldest_seconds{queue="urgent"} 59', lasts=5 * _M, unit=" 秒"),
    Rule("DeskQueueDeep", _WARNING, "后台队列积压", "增加 DESK_WORKERS，或查明哪类任务变慢。", Form.VALUE,
         _pick("desk_queue_depth"), "alert_queue_depth", 'desk_queue_depth{queue="bulk"} 2000',
         'desk_queue_depth{queue="bulk"} 900', lasts=5 * _M, unit=" 个"),
    Rule("DeskMessagesFailing", _WARNING, "消息发送失败率过高", "在通知中心按“失败”筛选，看失败原因。", Form.SHARE,
         _pick("desk_messages_last_hour", ("status", "=", "failed")), "alert_messages_failed",
         'desk_messages_last_hour{channel="wechat",type="arrears",status="failed"} 3\n'
         'desk_messages_last_hour{channel="wechat",type="arrears",status="sent"} 37',
         'desk_messages_last_hour{channel="wechat",type="arrears",status="failed"} 3\n'
         'desk_messages_last_hour{channel="wechat",type="arrears",status="sent"} 9',
         beside=_pick("desk_messages_last_hour"), least=20, lasts=5 * _M, unit="%"),
    Rule("DeskJobLate", _WARNING, "定时任务没有按时完成", "确认 flask scheduler 在运行，看任务的上次结果。",
         Form.PERIODS, _pick("desk_job_last_success_timestamp"), "alert_job_periods",
         'desk_job_last_success_timestamp{job="audit_seal"} -600\ndesk_job_period_seconds{job="audit_seal"} 60',
         'desk_job_last_success_timestamp{job="reconcile_books"} -600\n'
         'desk_job_period_seconds{job="reconcile_books"} 86400',
         beside=_pick("desk_job_period_seconds"), lasts=2 * _M, unit=" 个周期"),
    Rule("DeskJobFailing", _WARNING, "定时任务失败", "在系统状态页看失败原因，修复后可用 flask jobs run 补跑。",
         Form.VALUE, _pick("desk_job_failing"), 0, 'desk_job_failing{job="money_health"} 1',
         'desk_job_failing{job="money_health"} 0', lasts=5 * _M),
    # ── money ───────────────────────────────────────────────────────────────────────────────────────
    Rule("DeskMoneyCheckFailing", _CRITICAL, "资金健康检查不符", "请勿修改数据，先在资金健康页查明原因。", Form.VALUE,
         _pick("desk_money_check_failing"), 0, 'desk_money_check_failing{check="ledger"} 1',
         'desk_money_check_failing{check="ledger"} 0', unit=" 处"),
    Rule("DeskMoneyCheckOld", _WARNING, "资金健康久未通过", "看定时任务 money_health 的上次结果。", Form.AGE,
         _pick("desk_money_check_held_timestamp"), "alert_money_check_age",
         'desk_money_check_held_timestamp{check="seats"} -1800', 'desk_money_check_held_timestamp{check="seats"} 0',
         lasts=5 * _M, unit=" 秒"),
    Rule("DeskLedgerUnverified", _CRITICAL, "账本久未全量核对", "运行 flask ledger verify --full。",
         Form.AGE, _pick("desk_ledger_verified_timestamp"), "alert_ledger_age",
         "desk_ledger_verified_timestamp -100000", "desk_ledger_verified_timestamp -3000", lasts=5 * _M,
         unit=" 秒"),
    Rule("DeskDifferencesOpen", _WARNING, "对账差异一天没有处理", "在对账页逐项核实并处理。", Form.VALUE,
         _pick("desk_reconcile_open"), 0, 'desk_reconcile_open{source="bill"} 2',
         'desk_reconcile_open{source="bill"} 0', lasts=_D, unit=" 项"),
    Rule("DeskCallbacksRefused", _WARNING, "支付回调验签失败过多", "核对微信支付公钥与 APIv3 密钥；可能有人伪造回调。",
         Form.VALUE, _pick("desk_callbacks_recent", ("outcome", "=", "refused")), "alert_callbacks_refused",
         'desk_callbacks_recent{outcome="refused"} 25', 'desk_callbacks_recent{outcome="settled"} 900', unit=" 次"),
    # ── deadlines and promises ──────────────────────────────────────────────────────────────────────
    Rule("DeskOffersLate", _CRITICAL, "候补没有准时推进", "看定时任务 waitlist_advance；名额正被耽误。", Form.VALUE,
         _pick("desk_deadline_late_seconds", ("deadline", "=~", "offers|cutoffs")), "alert_offer_late",
         'desk_deadline_late_seconds{deadline="cutoffs"} 45', 'desk_deadline_late_seconds{deadline="holds"} 45',
         lasts=_M, unit=" 秒"),
    Rule("DeskDeadlineMissed", _WARNING, "到期的事项没有处理", "在系统状态页看对应的定时任务。", Form.VALUE,
         _pick("desk_deadline_late_seconds", ("deadline", "!~", "offers|cutoffs")), "alert_deadline_late",
         'desk_deadline_late_seconds{deadline="refunds"} 2000', 'desk_deadline_late_seconds{deadline="refunds"} 300',
         lasts=2 * _M, unit=" 秒"),
    Rule("DeskOffersUntold", _WARNING, "名额通知没有及时送达", "在候补分析页看哪些通知晚了；查消息发送。", Form.SHARE,
         _pick("desk_waitlist_promises_broken", ("promise", "=", "notices")), 0.05,
         'desk_waitlist_promises_broken{promise="notices"} 2\ndesk_waitlist_promises{promise="notices"} 30',
         'desk_waitlist_promises_broken{promise="notices"} 1\ndesk_waitlist_promises{promise="notices"} 30',
         beside=_pick("desk_waitlist_promises", ("promise", "=", "notices")), least=1, unit="%"),
    Rule("DeskCutoffsMissed", _WARNING, "候补没有在截止时关闭", "在候补分析页看是哪几节课。", Form.VALUE,
         _pick("desk_waitlist_promises_broken", ("promise", "=", "cutoffs")), 0,
         'desk_waitlist_promises_broken{promise="cutoffs"} 1', 'desk_waitlist_promises_broken{promise="notices"} 1',
         unit=" 个"),
    Rule("DeskMakeupsFailing", _WARNING, "补课预约出错", "在补课分析页看失败的请求。", Form.SHARE,
         _pick("desk_makeup_promises_broken", ("promise", "=", "bookings")), 0.01,
         'desk_makeup_promises_broken{promise="bookings"} 2\ndesk_makeup_promises{promise="bookings"} 100',
         'desk_makeup_promises_broken{promise="bookings"} 1\ndesk_makeup_promises{promise="bookings"} 200',
         beside=_pick("desk_makeup_promises", ("promise", "=", "bookings")), least=1, unit="%"),
    Rule("DeskMinutesDrift", _CRITICAL, "课时补偿与历史不符", "在补课分析页看是哪几笔；请勿直接改数据。", Form.VALUE,
         _pick("desk_makeup_promises_broken", ("promise", "=", "minutes")), 0,
         'desk_makeup_promises_broken{promise="minutes"} 1', 'desk_makeup_promises_broken{promise="bookings"} 1',
         unit=" 笔"),
    # ── service levels and the outside ──────────────────────────────────────────────────────────────
    Rule("DeskMoneyFailing", _CRITICAL, "资金操作出错", "看应用日志与数据库；参见服务水平页。", Form.SHARE,
         _pick("desk_service_calls", ("level", "=", "money"), ("result", "=", "failed")), "alert_money_failed",
         'desk_service_calls{level="money",result="failed"} 3\ndesk_service_calls{level="money",result="ok"} 97',
         'desk_service_calls{level="money",result="failed"} 3\ndesk_service_calls{level="money",result="ok"} 9997',
         beside=_pick("desk_service_calls", ("level", "=", "money")), least=20, unit="%"),
    Rule("DeskMoneySlow", _WARNING, "资金操作变慢", "在服务水平页看最慢的接口与语句。", Form.VALUE,
         _pick("desk_service_p95_seconds", ("level", "=", "money")), "goal_money_p95",
         'desk_service_p95_seconds{level="money"} 0.4', 'desk_service_p95_seconds{level="money"} 0.15',
         lasts=15 * _M, unit=" 秒"),
    Rule("DeskReadsSlow", _WARNING, "查询变慢", "在服务水平页看最慢的接口与语句。", Form.VALUE,
         _pick("desk_service_p95_seconds", ("level", "=", "reads")), "goal_reads_p95",
         'desk_service_p95_seconds{level="reads"} 0.3', 'desk_service_p95_seconds{level="reads"} 0.05',
         lasts=15 * _M, unit=" 秒"),
    Rule("DeskBudgetSpent", _WARNING, "本周错误预算将用完", "暂缓发布，先处理出错的接口。", Form.VALUE,
         _pick("desk_error_budget_left"), "alert_budget_left", 'desk_error_budget_left{level="money"} 0.1',
         'desk_error_budget_left{level="money"} 0.6', below=True, lasts=15 * _M, unit="%"),
    Rule("DeskCertificateEnds", _WARNING, "证书即将到期", "更新证书；到期后家长将无法打开小程序。", Form.VALUE,
         _pick("desk_certificate_days"), "alert_certificate_days", 'desk_certificate_days{name="公网地址"} 9',
         'desk_certificate_days{name="公网地址"} 40', below=True, unit=" 天"),
    Rule("DeskOutsideWrong", _WARNING, "密钥或外部服务有误", "在系统状态页看“证书与密钥”，按说明处理。", Form.VALUE,
         _pick("desk_outside_findings", ("level", "=", "error")), 0, 'desk_outside_findings{level="error"} 1',
         'desk_outside_findings{level="warning"} 2', unit=" 处"),
)  # fmt: skip

BY_NAME = {rule.name: rule for rule in RULES}
