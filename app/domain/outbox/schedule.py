"""The periodic jobs (96.7). Cron times are the studio's; odd minutes keep clear of Feishu's busy ones.

The sweeps do the work even when RQ has lost everything (Z5), so the scheduler runs all of these itself.
"""

from __future__ import annotations

from app.domain.outbox.jobs import Job

JOBS: tuple[Job, ...] = (
    Job("outbox_sweep", "tasks.periodic.outbox_sweep", "把到期未发的消息交给后台发送", every=5, lease=60),
    Job("cards_collect", "tasks.periodic.cards_collect", "把攒下的飞书卡片合并发出", every=1, lease=60),
    Job("adjustments_lapse", "tasks.periodic.adjustments_lapse", "过期未审批的调整自动失效", every=60),
    Job("batches_lapse", "tasks.periodic.batches_lapse", "过期未审批的批量调整失效，清理草稿", every=60),
    Job("long_jobs_sweep", "tasks.periodic.long_jobs_sweep", "继续没有人在做的后台任务", every=5, lease=60),
    Job("receipts_remind", "tasks.periodic.receipts_remind", "提醒还缺凭证的调整", every=600),
    Job("withdrawals_remind", "tasks.periodic.withdrawals_remind", "提醒久未处理的提现", every=600),
    Job("questions_remind", "tasks.periodic.questions_remind", "提醒还没有答复的流水疑问", every=600),
    Job("exceptions_escalate", "tasks.periodic.exceptions_escalate", "列出久未处理的异常，提醒财务和店长", every=600),
    Job("digest_morning", "tasks.periodic.digest_morning", "早上把待办发到资金群", every=60),
    Job("classes_remind", "tasks.periodic.classes_remind", "前一天提醒家长明天的课", every=60, lease=600),
    Job("classes_cancel", "tasks.periodic.classes_cancel", "补办停课后还没有退费的预约", every=60, lease=600),
    Job("waitlist_advance", "tasks.periodic.waitlist_advance", "推进候补：通知、到期、顺位、截止", every=1, lease=60),
    Job("waitlist_promises", "tasks.periodic.waitlist_promises", "昨天的候补与补课是否达标", cron="39 8 * * *"),
    Job("credits_expire", "tasks.periodic.credits_expire", "结束到期的待补课和课时补偿", every=300, lease=600),
    Job(
        "makeups_remind",
        "tasks.periodic.makeups_remind",
        "提醒家长快到期的待补课和课时补偿",
        cron="9 10 * * *",
        lease=1800,
    ),
    Job("makeup_requests", "tasks.periodic.makeup_requests", "提醒员工久未答复的补课请求", every=600),
    Job("payments_query", "tasks.periodic.payments_query", "向微信查询还没有结果的支付", every=5, lease=60),
    Job("holds_expire", "tasks.periodic.holds_expire", "释放到期未支付的座位", every=60),
    Job("orders_expire", "tasks.periodic.orders_expire", "结束到期未支付的订单并向微信关单", every=60, lease=600),
    Job("refunds_query", "tasks.periodic.refunds_query", "向微信提交已批准的退款，并查询进度", every=15, lease=120),
    Job("shipping_report", "tasks.periodic.shipping_report", "向微信上报体验课的发货信息", every=60, lease=300),
    Job(
        "reconcile_day",
        "tasks.periodic.reconcile_day",
        "取昨天的微信账单，补记付款并对账",
        cron="21 10-23 * * *",
        lease=1800,
    ),
    Job(
        "reconcile_books", "tasks.periodic.reconcile_books", "核对单据与流水是否一一对应", cron="31 3 * * *", lease=7200
    ),
    Job("money_health", "tasks.periodic.money_health", "检查新变动的资金是否健康", every=300, lease=1800),
    Job(
        "money_health_full",
        "tasks.periodic.money_health_full",
        "从头检查全部资金是否健康",
        cron="51 3 * * *",
        lease=7200,
    ),
    Job("callbacks_cleanup", "tasks.periodic.callbacks_cleanup", "清理过期的支付通知随机串", cron="37 4 * * *"),
    Job("arrears_escalate", "tasks.periodic.arrears_escalate", "欠费满几天时再次提醒家长，并列给员工", every=600),
    Job("receipts_orphans", "tasks.periodic.receipts_orphans", "清理没有归属的凭证文件", cron="47 3 * * *", lease=1800),
    Job("audit_seal", "tasks.periodic.audit_seal", "封存新的审计记录", every=60),
    Job("ledger_check", "tasks.periodic.ledger_check", "核对上次检查点之后的账本", every=900, lease=1800),
    Job("ledger_verify", "tasks.periodic.ledger_verify", "从第一笔起全量核对账本", cron="11 3 * * *", lease=7200),
    Job("ledger_anchor", "tasks.periodic.ledger_anchor", "把账本检查点发到飞书系统群", cron="34 8 * * *", lease=1800),
    Job("alerts_judge", "tasks.periodic_watch.alerts_judge", "对照规则判断告警，发到飞书系统群", every=60, lease=120),
    Job("outside_look", "tasks.periodic_watch.outside_look", "检查证书、密钥与外部服务", cron="17 9 * * *", lease=600),
    Job("service_week", "tasks.periodic_watch.service_week", "把上周的服务水平发到飞书系统群", cron="42 8 * * 1"),
    Job("clock_offset", "tasks.periodic.clock_offset", "检查本机与数据库的时钟", every=60),
    Job("request_keys_cleanup", "tasks.periodic.request_keys_cleanup", "清理过期的请求去重记录", cron="23 * * * *"),
    Job("sign_in_cleanup", "tasks.periodic.sign_in_cleanup", "清理过期的登录失败与限流计数", cron="53 * * * *"),
    Job("data_cleanup", "tasks.periodic.data_cleanup", "清理已满保留期限的数据", cron="17 2 * * *", lease=7200),
    Job(
        "families_erase",
        "tasks.periodic.families_erase",
        "删除多年没有往来的家庭的个人信息",
        cron="43 2 * * *",
        lease=3600,
    ),
)
