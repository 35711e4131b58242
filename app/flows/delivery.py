"""Sending what is in the outbox: claim in a short transaction, talk to the provider, settle in another.

The network call holds no lock. What the provider's answer means for the message is decided in outbox/outcomes.py;
here its errors become outcomes with a Chinese explanation (N4).
"""

from __future__ import annotations

import logging
from datetime import timedelta

from app import config
from app.domain.outbox import delivery
from app.domain.outbox.delivery import Claimed
from app.domain.outbox.models import Channel, Status
from app.domain.outbox.outcomes import Outcome, Result
from app.gateways import feishu, wechat_mini
from app.gateways.errors import GatewayError, Permanent, RateLimited, UnknownOutcome

log = logging.getLogger("desk.delivery")

#: a code that the provider or our client gave → what it means, and what to do
EXPLANATIONS = {
    "43101": "家长没有授权这类消息，或授权次数已用完",
    "40003": "家长的微信标识无效，可能已不再使用小程序",
    "47003": "内容不符合模板字段的要求，请检查消息模板",
    "40037": "模板编号不存在，请检查模板编号设置",
    "41030": "要打开的页面不在已发布的小程序里",
    "40097": "消息参数有误，请检查模板设置",
    "43108": "消息不能发给这位用户",
    "40001": "微信访问令牌失效，已换新令牌仍被拒绝",
    "45009": "当天的发送额度已用完，稍后自动再发",
    "-1": "微信系统繁忙",
    "19001": "飞书机器人地址无效，请检查设置",
    "19021": "飞书签名不符，请检查密钥与服务器时间",
    "19022": "服务器地址不在飞书机器人的白名单里",
    "19024": "飞书机器人要求的关键词没有出现",
    "9499": "飞书不接受这张卡片的格式",
    "11232": "飞书限制了发送频率，稍后合并发送",
    "timeout": "对方没有在时限内应答，不能确认是否已送达",
    "connection_lost": "连接中断，没有收到应答",
    "cannot_connect": "连接不上对方服务器",
    "connect_timeout": "连接对方服务器超时",
    "not_json": "对方的应答无法识别",
    "not_configured": "没有设置飞书机器人地址",
}


def deliver(notification_id: int) -> Status | None:
    """Send one message if it is due and nobody else does; its new status, or None when there was nothing to do."""
    row = delivery.channel_of(notification_id)
    if row is None:
        return None
    if row.channel == Channel.FEISHU:
        return deliver_cards(row.recipient)
    claimed = delivery.claim(notification_id=notification_id)
    return None if claimed is None else _send_to_parent(claimed)


def deliver_cards(group: str) -> Status | None:
    """Send a group's waiting cards as far as its bot's pace allows: one by one, or as one digest when there are more
    than may go now (N9). What is left waits for the next call of this."""
    public_url = config.current().public_url
    status = None
    while (left := delivery.calls_left(group)) and (waiting := delivery.due_cards(group)):
        count = 1 if len(waiting) <= left else feishu.how_many_fit([row.payload for row in waiting], public_url)
        claimed = delivery.claim_cards(group=group, ids=[row.id for row in waiting[:count]])
        if not claimed:
            break  # another worker took the call, or these cards
        outcome = _post_cards(group, claimed)
        for card in claimed:
            status = _settle(card, outcome)
        if outcome.result != Result.SENT:
            break
    return status


def collect_cards() -> int:
    """Deliver for every group that has cards waiting; returns the number of groups."""
    groups = delivery.groups_waiting()
    for group in groups:
        deliver_cards(group)
    return len(groups)


def overdue(limit: int = 500) -> list[tuple[int, str, int]]:
    """What the sweep hands to the workers: (id, queue, attempts) of messages that nobody rang for in time."""
    rows = delivery.due_messages(limit, older_than=timedelta(seconds=1))
    return [(row.id, row.queue, row.attempts) for row in rows]


def _send_to_parent(claimed: Claimed) -> Status | None:
    settings = config.current()
    client = wechat_mini.from_settings(settings)
    words = claimed.words
    assert words is not None
    try:
        message_id = client.send_subscribe_message(
            claimed.recipient, settings.templates[claimed.type], words.data, page=words.page
        )
    except GatewayError as error:
        outcome = outcome_of(error)
    else:
        outcome = Outcome(Result.SENT, message_id=message_id)
    return _settle(claimed, outcome)


def _post_cards(group: str, claimed: list[Claimed]) -> Outcome:
    settings = config.current()
    bot = settings.feishu[group]
    if not bot.url:
        return Outcome(Result.REFUSED, "not_configured", EXPLANATIONS["not_configured"])
    cards = [card.payload for card in claimed]
    if len(cards) == 1:
        body = feishu.card_body(cards[0], settings.public_url)
    else:
        body = feishu.digest_body(cards, settings.public_url)
    try:
        feishu.send(bot.url, bot.secret, body)
    except GatewayError as error:
        return outcome_of(error)
    return Outcome(Result.SENT)


def outcome_of(error: GatewayError) -> Outcome:
    """What a failed call means for the message.

    Silence after the whole request was sent (`timeout`) is unknown: the provider most likely did it, slowly. A
    connection that was cut, or a foreign answer, is the network's failure, which N4 repeats.
    """
    sentence = EXPLANATIONS.get(error.code) or _general(error)
    if isinstance(error, RateLimited):
        return Outcome(Result.PAUSED, error.code, sentence, pause=error.retry_after or 60)
    if isinstance(error, UnknownOutcome) and error.code == "timeout":
        return Outcome(Result.UNKNOWN, error.code, sentence)
    if not isinstance(error, Permanent):
        return Outcome(Result.TEMPORARY, error.code, sentence)
    wrong = isinstance(error, wechat_mini.TemplateWrong)
    if wrong and error.detail:
        sentence = f"{sentence}（{error.detail[:120]}）"
    return Outcome(
        Result.REFUSED,
        error.code,
        sentence,
        no_consent=isinstance(error, wechat_mini.NoConsent),
        template_wrong=wrong,
    )


def _general(error: GatewayError) -> str:
    if error.code.startswith("http_5"):
        return f"对方服务器出错（{error.code.removeprefix('http_')}）"
    return f"对方拒绝了这条消息（{error.code}）"


def _settle(claimed: Claimed, outcome: Outcome) -> Status | None:
    status = delivery.settle(claimed=claimed, outcome=outcome)
    facts = {"notification": claimed.id, "type": claimed.type, "attempt": claimed.attempt}
    log.info("message %s", outcome.result, extra=facts | {"error_code": outcome.code, "status": status})
    return status
