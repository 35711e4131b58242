"""Credits and minutes: one table of states, and the reckoning of minutes. Pure (M1, M4–M6, 96.65, 96.68, 96.69)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from app import clock
from app.domain.credits.errors import CreditExpired, NoCredit, NotEnoughCompensation, ShorterClass
from app.domain.credits.models import CreditStatus, HistoryKind, RequestStatus
from app.errors import InvalidState


class Shown(StrEnum):
    """What the contract calls a credit's state (96.65)."""

    AVAILABLE = "available"
    BOOKED = "booked"
    DONE = "done"
    EXPIRED = "expired"


SHOWN_TEXTS = {Shown.AVAILABLE: "待补课", Shown.BOOKED: "已预约", Shown.DONE: "已补课", Shown.EXPIRED: "已失效"}
STATUS_TEXTS = {
    CreditStatus.AVAILABLE: "待补课",
    CreditStatus.USED: "已使用",
    CreditStatus.EXPIRED: "已过期",
    CreditStatus.VOID: "已作废",
}
HISTORY_TEXTS = {
    HistoryKind.EARNED: "获得",
    HistoryKind.USED: "使用",
    HistoryKind.EXPIRED: "到期失效",
    HistoryKind.ADJUSTED: "调整",
    HistoryKind.RETURNED: "取消补课",
}
REQUEST_TEXTS = {
    RequestStatus.OPEN: "待安排",
    RequestStatus.ANSWERED: "已答复",
    RequestStatus.BOOKED: "已预约",
    RequestStatus.CLOSED: "已结束",
}


class Event(StrEnum):
    USE = "use"
    RESTORE = "restore"
    EXPIRE = "expire"
    VOID = "void"
    EXTEND = "extend"


_S, _E = CreditStatus, Event
TRANSITIONS: dict[tuple[str, str], CreditStatus] = {
    (_S.AVAILABLE, _E.USE): _S.USED,
    (_S.AVAILABLE, _E.EXPIRE): _S.EXPIRED,
    (_S.AVAILABLE, _E.VOID): _S.VOID,
    (_S.AVAILABLE, _E.EXTEND): _S.AVAILABLE,
    (_S.EXPIRED, _E.EXTEND): _S.AVAILABLE,
    (_S.USED, _E.RESTORE): _S.AVAILABLE,
}


def next_status(status: str, event: Event) -> CreditStatus:
    """Raises InvalidState with what the credit is now."""
    following = TRANSITIONS.get((status, event))
    if following is None:
        raise InvalidState(f"这次待补课{STATUS_TEXTS[CreditStatus(status)]}，不能进行这项操作")
    return following


def shown(status: str, valid_until: datetime, now: datetime, class_ends_at: datetime | None) -> Shown:
    """What a credit is to a parent at this moment. `class_ends_at` is that of the makeup it was used for."""
    if status == CreditStatus.USED:
        return Shown.BOOKED if class_ends_at is not None and now < class_ends_at else Shown.DONE
    if status == CreditStatus.AVAILABLE and now < valid_until:
        return Shown.AVAILABLE
    return Shown.EXPIRED


def check_usable(status: str, valid_until: datetime, now: datetime, starts_at: datetime | None = None) -> None:
    """A credit may be used now, for a class that starts at `starts_at` where one is given (M2).

    Raises NoCredit, CreditExpired.
    """
    if status == CreditStatus.EXPIRED or (status == CreditStatus.AVAILABLE and now >= valid_until):
        raise CreditExpired(f"待补课已于{clock.local(valid_until):%m月%d日 %H:%M}到期")
    if status != CreditStatus.AVAILABLE:
        raise NoCredit
    if starts_at is not None and starts_at >= valid_until:
        raise CreditExpired(f"待补课有效期至{clock.local(valid_until):%m月%d日 %H:%M}，这节课在有效期之后")


# ── minutes ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a class of another length means in minutes: `difference` is its own length less the missed one's,
    `earned` and `needed` are in whole units, rounded in the parent's favour (M6, 96.68)."""

    difference: int
    earned: int
    needed: int


def exchange(missed: int, offered: int, unit: timedelta) -> Exchange:
    """`missed` and `offered` in minutes."""
    size = max(1, unit // timedelta(minutes=1))
    difference = offered - missed
    return Exchange(
        difference, -(difference // size) * size if difference < 0 else 0, max(difference, 0) // size * size
    )


def check_minutes(
    wanted: Exchange, offered: int, available: int, *, accept_shorter: bool, use_compensation: bool
) -> None:
    """What a shorter or a longer class asks of the parent (M4, M5). `offered` is the class's length and `available` the
    student's balance, in minutes. Raises ShorterClass, NotEnoughCompensation."""
    if wanted.difference < 0 and not accept_shorter:
        less = spoken(-wanted.difference)
        raise ShorterClass(
            f"本课程仅{spoken(offered)}，比您原课程少{less}，是否确认预约？",
            data={"minutes": offered, "duration_difference": wanted.difference, "earned": wanted.earned},
        )
    if wanted.needed == 0 or (use_compensation and available >= wanted.needed):
        return
    missing = max(0, wanted.needed - available)
    more = spoken(wanted.difference)
    said = (
        f"本课程比您原课程多{more}，课时补偿还差{spoken(missing)}"
        if missing
        else f"本课程比您原课程多{more}，需使用{spoken(wanted.needed)}课时补偿"
    )
    raise NotEnoughCompensation(said, data={"needed": wanted.needed, "available": available, "missing": missing})


def spoken(minutes: int) -> str:
    """Whole or half hours as `1小时`, `1.5小时`, `0.5小时`, else `70分钟` (96.69)."""
    return f"{minutes / 60:g}小时" if minutes and minutes % 30 == 0 else f"{minutes}分钟"


def hint(minutes: int) -> str | None:
    """What a parent with minutes to use is told beside the classes (M13)."""
    return "您有课时补偿可使用" if minutes > 0 else None


class Lot(Protocol):
    id: int
    minutes_left: int
    expires_at: datetime


def open_lots(lots: Iterable[Lot], now: datetime) -> list[Lot]:
    """Lots with minutes that can be used now, the one that ends first at the front (M6)."""
    usable = (lot for lot in lots if lot.minutes_left > 0 and now < lot.expires_at)
    return sorted(usable, key=lambda lot: (lot.expires_at, lot.id))


def share_out(lots: Sequence[Lot], minutes: int) -> list[tuple[Lot, int]]:
    """Which lot gives how many of these minutes: in the order given, the last one partly if need be.

    Raises NotEnoughCompensation where they have not so many together.
    """
    available = sum(lot.minutes_left for lot in lots)
    if available < minutes:
        raise NotEnoughCompensation(
            f"课时补偿只有{spoken(available)}，还差{spoken(minutes - available)}",
            data={"needed": minutes, "available": available, "missing": minutes - available},
        )
    parts, left = [], minutes
    for lot in lots:
        if left == 0:
            break
        taken = min(lot.minutes_left, left)
        parts.append((lot, taken))
        left -= taken
    return parts
