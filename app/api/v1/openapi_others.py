"""What the OpenAPI document says of calls that are no `@endpoint`: WeChat Pay's callbacks, which answer in WeChat's own
form, and the addresses beside the contract (95, Elsewhere)."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_HEADERS = ("Timestamp", "Nonce", "Signature", "Serial", "Signature-Type")
_REFUSALS = {
    "400": "验签通过，内容无法识别",
    "401": "缺少请求头、序列号不认识、过期，或验签失败",
    "413": "内容超过 64 KB",
    "500": "处理失败，微信会再来",
    "503": "暂时无法处理，微信会再来",
}


def paths(prefix: str) -> dict[str, Any]:
    """Path → method → operation."""
    return {
        f"{prefix}/payment/wxpay/callback": {"post": _callback("wxpay_callback", "微信支付结果通知")},
        f"{prefix}/payment/wxpay/refund-callback": {"post": _callback("wxpay_refund_callback", "微信退款结果通知")},
        f"{prefix}/openapi.json": {"get": _plain("openapi", "这份文档", "application/json")},
        "/api/docs": {"get": _plain("docs", "给人看的接口文档", "text/html")},
        "/healthz": {"get": _plain("healthz", "进程是否活着", "application/json")},
        "/readyz": {
            "get": _plain(
                "readyz", "能否服务：数据库、表结构、Redis 和发件情况", "application/json",
                {"503": "不能服务；failing 说明是哪一部分"},
            )
        },
        "/metrics": {"get": _plain("metrics", "Prometheus 指标", "text/plain", {"404": "不是本机，也没有带令牌"})},
    }  # fmt: skip


def _callback(name: str, summary: str) -> dict[str, Any]:
    encrypted = {
        "type": "object",
        "required": ["algorithm", "ciphertext", "nonce"],
        "properties": {
            "algorithm": {"const": "AEAD_AES_256_GCM"}, "ciphertext": _TEXT, "associated_data": _TEXT,
            "original_type": _TEXT, "nonce": _TEXT,
        },
    }  # fmt: skip
    body = {
        "type": "object",
        "required": ["id", "event_type", "resource"],
        "properties": {
            "id": {"type": "string", "maxLength": 64}, "create_time": _TEXT, "resource_type": _TEXT,
            "event_type": {"type": "string", "maxLength": 32}, "summary": _TEXT, "resource": encrypted,
        },
    }  # fmt: skip
    answers = {"200": _answer("已收下", "SUCCESS")}
    return {
        "operationId": name,
        "tags": ["payment"],
        "summary": summary,
        "description": "由微信支付调用，以签名代替令牌；按内容里的 event_type 处理。应答是微信规定的格式。",
        "parameters": [
            {"name": f"Wechatpay-{header}", "in": "header", "required": True, "schema": _TEXT} for header in _HEADERS
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": answers | {status: _answer(text, "FAIL") for status, text in _REFUSALS.items()},
        "security": [],
    }


def _answer(description: str, code: str) -> dict[str, Any]:
    schema = {"type": "object", "required": ["code", "message"], "properties": {"code": {"const": code},
                                                                                "message": _TEXT}}  # fmt: skip
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _plain(name: str, summary: str, media: str, refusals: dict[str, str] | None = None) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": {"description": summary, "content": {media: {}}}}
    return {
        "operationId": name,
        "tags": ["others"],
        "summary": summary,
        "description": "不在信封里，也不需要家长的令牌。",
        "parameters": [],
        "responses": answers | {status: {"description": text} for status, text in (refusals or {}).items()},
        "security": [],
    }
