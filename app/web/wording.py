"""Small words of the account pages: a browser as a person knows it, a length of time as people say it."""

from __future__ import annotations

from datetime import timedelta

# Order matters: every browser claims to be its ancestors too.
_BROWSERS = (
    ("MicroMessenger", "微信"), ("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"),
    ("CriOS", "Chrome"), ("Safari", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("HarmonyOS", "鸿蒙"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "安卓"), ("Windows", "Windows"),
    ("Macintosh", "Mac"), ("Linux", "Linux"),
)  # fmt: skip


def device_words(user_agent: str | None) -> str:
    """A User-Agent as 「Chrome · Windows」, or 「未知设备」."""
    text = user_agent or ""
    found = [next((word for mark, word in table if mark in text), None) for table in (_BROWSERS, _SYSTEMS)]
    return " · ".join(word for word in found if word) or "未知设备"


def spelled(length: timedelta) -> str:
    """「30 分钟」「12 小时」「90 秒」: a policy's duration as people say it."""
    seconds = int(length.total_seconds())
    for unit, word in ((86400, "天"), (3600, "小时"), (60, "分钟")):
        if seconds % unit == 0:
            return f"{seconds // unit} {word}"
    return f"{seconds} 秒"
