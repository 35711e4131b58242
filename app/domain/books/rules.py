"""When a day may be closed, and what each line of it must say: pure (W25)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from app import clock, money
from app.domain.books.errors import DayClosed, DayNotOver, DayOutOfOrder
from app.domain.books.tills import WECHAT_PAY
from app.domain.desk.models import PaymentMethod
from app.errors import Invalid
from app.money import ZERO

NOTE_MAX = 500
CAUSE_MAX = 200
#: after midnight: what began before it has ended by then, or was rolled back
SETTLES_IN = timedelta(minutes=10)
#: the line of differences that the reconciliation found and nobody has settled
RECONCILE = "reconcile"


def check_day(on: date, now: datetime, *, last: date | None, skipped: date | None) -> None:
    """A day is closed once, when it is over, in the order of days. `last` is the newest closed one, `skipped` the first
    day since then in which money moved. Raises DayNotOver, DayClosed, DayOutOfOrder."""
    end = clock.day_bounds(on)[1]
    if now < end + SETTLES_IN:
        raise DayNotOver(f"{on:%m月%d日}还没有结束，次日 00:10 起才能日结")
    if last is not None and on == last:
        raise DayClosed
    if last is not None and on < last:
        raise DayOutOfOrder(f"已经结到 {last:%Y-%m-%d}，不能再结更早的日子")
    if skipped is not None and skipped < on:
        raise DayOutOfOrder(f"请先结 {skipped:%Y-%m-%d}：日结须按日期先后进行", data={"first": skipped.isoformat()})


@dataclass(frozen=True, slots=True)
class Side:
    """One way of paying on the day, side by side: the documents' net, and what shows it (None: nothing to compare with
    yet). `note` says what that is, or what is missing. Signed yuan."""

    key: str
    documents: Decimal
    shown: Decimal | None
    note: str

    @property
    def difference(self) -> Decimal | None:
        return None if self.shown is None else self.shown - self.documents

    @property
    def differs(self) -> bool:
        return self.difference != ZERO


def sides(
    nets: Mapping[str, tuple[Decimal, Decimal]], *, counted_cash: Decimal | None, bill: Decimal | None, open_ones: int
) -> list[Side]:
    """The lines of a close. `nets`: way → (documents' net, of which shown by receipts or slips); `bill` is the net of
    WeChat's bill, None before it was compared; `open_ones` counts differences of the day that nobody has settled."""
    found = []
    for method, (net, shown) in nets.items():
        if method == PaymentMethod.CASH:
            found.append(Side(method, net, counted_cash, "清点的现金"))
        elif method != WECHAT_PAY:
            found.append(Side(method, net, shown, "有凭证或单号的"))
    net = nets.get(WECHAT_PAY, (ZERO, ZERO))[0]
    if bill is not None:
        found.append(Side(WECHAT_PAY, net, bill, "微信账单"))
    elif WECHAT_PAY in nets:
        found.append(Side(WECHAT_PAY, net, None, "微信账单还没有核对"))
    if PaymentMethod.CASH not in nets:
        found.insert(0, Side(PaymentMethod.CASH, ZERO, counted_cash, "清点的现金"))
    if open_ones:
        found.append(Side(RECONCILE, ZERO, None, f"对账差异 {open_ones} 项未处理"))
    return found


def checked_cash(text: str) -> Decimal:
    """The counted net of a day's cash; more may have gone out than came in. Raises Invalid."""
    text = text.strip().replace("−", "-")
    try:
        amount = money.parse(text.removeprefix("-"), name="counted_cash")
    except Invalid as error:
        raise Invalid.field("counted_cash", "请填写清点的现金净额，如 500.00；付出多于收到时写 -200.00") from error
    return -amount if text.startswith("-") else amount


def checked_note(note: str) -> str:
    """Raises Invalid."""
    if len(note) > NOTE_MAX:
        raise Invalid.field("note", f"备注最多 {NOTE_MAX} 个字")
    return note


def checked_causes(lines: Sequence[Side], causes: Mapping[str, str]) -> dict[str, str]:
    """The cause of each line that differs; of one that does not, none is kept. Raises Invalid naming all that
    lack one."""
    found, missing = {}, {}
    for line in lines:
        if not line.differs:
            continue
        said = causes.get(line.key, "")
        if not said:
            missing[f"cause_{line.key}"] = ["有差异，请写明原因"]
        elif len(said) > CAUSE_MAX:
            missing[f"cause_{line.key}"] = [f"原因最多 {CAUSE_MAX} 个字"]
        found[line.key] = said
    if missing:
        raise Invalid("每一项差异都要写明原因，才能签字日结", errors=missing)
    return found
