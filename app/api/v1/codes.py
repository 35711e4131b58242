"""The stable error codes of the contract with status and meaning, for the document and its readers."""

from __future__ import annotations

CODES: dict[str, tuple[int, str]] = {
    "IDEMPOTENCY_KEY_REQUIRED": (400, "缺少 Idempotency-Key 请求头"),
    "IDEMPOTENCY_KEY_INVALID": (400, "Idempotency-Key 不是 1 到 64 个可见 ASCII 字符"),
    "UNAUTHENTICATED": (401, "没有令牌，或令牌无效、过期、已退出；续期令牌已用过也是"),
    "WECHAT_CODE_INVALID": (401, "微信凭证无效、过期或已用过"),
    "NOT_FOUND": (404, "没有这样东西，或它属于别的家庭"),
    "PHONE_TAKEN": (409, "手机号已绑定其他账号"),
    "TOO_MANY_PROFILES": (409, "学员人数已达上限"),
    "BODY_TOO_LARGE": (413, "请求内容超过 64 KB"),
    "VALIDATION_FAILED": (422, "请求内容不是 JSON，或字段有误；errors 按字段说明"),
    "IDEMPOTENCY_KEY_REUSED": (422, "同一个幂等键已用于另一个请求"),
    "RATE_LIMITED": (429, "请求过于频繁；Retry-After 说明多少秒后再试"),
    "INTERNAL_ERROR": (500, "服务器内部错误；请记下 request_id"),
    "BUSY_TRY_AGAIN": (503, "系统繁忙，操作没有完成；按 Retry-After 再试"),
    "UNAVAILABLE": (503, "数据库暂时不可用；按 Retry-After 再试"),
    "OUTCOME_UNKNOWN": (503, "连接中断，无法确认操作是否完成"),
    "WECHAT_UNAVAILABLE": (503, "暂时连不上微信；按 Retry-After 再试"),
}
