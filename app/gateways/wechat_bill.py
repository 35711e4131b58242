"""WeChat Pay's trade bill of one day: fetched, proved and read. Amounts are yuan here, as WeChat writes them."""

from __future__ import annotations

import hashlib
import hmac
import io
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from gzip import GzipFile

from app import clock
from app.gateways.errors import Permanent, Temporary
from app.gateways.wechat_pay import WeChatPayClient

#: bytes of an unpacked bill; some hundred thousand rows
MAX_BILL = 64 * 1024 * 1024

_NAME = "商品名称"
_NEEDED = (
    "交易时间", "公众账号ID", "商户号", "微信订单号", "商户订单号", "交易状态", "订单金额", "申请退款金额", "手续费",
    _NAME,
)  # fmt: skip


class BillNotReady(Temporary):
    """WeChat is still making that day's bill: it is there from 10:00 of the next day."""


class BadBill(ValueError):
    """The text is no trade bill, or not a whole one."""


@dataclass(frozen=True, slots=True)
class BillRow:
    """A payment (`SUCCESS`) or the start of a refund (`REFUND`); what became of the refund later is not in the bill."""

    at: datetime  # UTC
    appid: str
    mchid: str
    transaction_id: str
    out_trade_no: str
    openid: str | None
    trade_type: str
    trade_state: str
    currency: str
    paid: Decimal
    refund_id: str | None
    refund_no: str | None
    refunded: Decimal
    fee: Decimal
    #: of a refund when the bill was made: `SUCCESS`, `PROCESSING`, `FAIL`; empty where it does not say
    refund_state: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """`summary` is WeChat's own last line: name of the total → its value."""

    rows: list[BillRow]
    summary: dict[str, Decimal]


def trade_bill(client: WeChatPayClient, day: date) -> bytes | None:
    """The bill of a day (Asia/Shanghai), unpacked, its hash compared; None where nobody paid anything.

    Raises BillNotReady, Temporary where the file is not what was promised, and what every call raises.
    """
    path = f"/v3/bill/tradebill?bill_date={day:%Y-%m-%d}&bill_type=ALL&tar_type=GZIP"
    try:
        promised = client.get_signed(path, "wxpay.bill")
    except Permanent as error:
        if error.code == "NO_STATEMENT_EXIST":
            return None
        if error.code == "STATEMENT_CREATING":
            raise BillNotReady("wxpay.bill", error.code, error.detail, retry_after=1800) from None
        raise
    url, digest = promised.get("download_url"), promised.get("hash_value")
    if not isinstance(url, str) or not isinstance(digest, str) or promised.get("hash_type") != "SHA1":
        raise Temporary("wxpay.bill", "bad_answer")
    bill = _unpacked(client.fetch_signed(url, "wxpay.bill_file").content)
    # The file carries no signature of its own; the signed answer's hash of the unpacked text stands for it.
    if not hmac.compare_digest(hashlib.sha1(bill, usedforsecurity=False).hexdigest().encode(), digest.lower().encode()):
        raise Temporary("wxpay.bill_file", "bad_hash")
    return bill


def _unpacked(data: bytes) -> bytes:
    try:
        with GzipFile(fileobj=io.BytesIO(data)) as file:
            bill = file.read(MAX_BILL + 1)
    except (OSError, EOFError, zlib.error):
        raise Temporary("wxpay.bill_file", "not_gzip") from None
    if len(bill) > MAX_BILL:
        raise Temporary("wxpay.bill_file", "answer_too_large")
    return bill


def read_bill(text: bytes) -> Bill:
    """Rows and totals of an unpacked bill. Raises BadBill where a line cannot be read or the last ones are missing."""
    try:
        lines = [line for line in text.decode("utf-8-sig").replace("\r\n", "\n").split("\n") if line.strip()]
    except UnicodeDecodeError:
        raise BadBill("not UTF-8") from None
    if len(lines) < 3 or lines[-2].startswith("`"):
        raise BadBill("header or summary is missing")
    columns = lines[0].split(",")
    lost = [name for name in _NEEDED if name not in columns]
    if lost:
        raise BadBill(f"columns are missing: {', '.join(lost)}")
    rows = [_row(columns, line) for line in lines[1:-2]]
    summary = dict(zip(lines[-2].split(","), map(_yuan, _cells(lines[-1])), strict=False))
    if summary.get("总交易单数") != len(rows):
        raise BadBill("the summary counts other rows than there are")
    return Bill(rows, summary)


def _row(columns: list[str], line: str) -> BillRow:
    cells = _cells(line)
    extra = len(cells) - len(columns)
    if extra > 0:
        # Nothing is quoted, and only the goods' name is free text: what is too much belongs to it.
        at = columns.index(_NAME)
        cells[at : at + extra + 1] = [",`".join(cells[at : at + extra + 1])]
    if len(cells) != len(columns):
        raise BadBill("a row is too short")
    row = dict(zip(columns, cells, strict=True))
    try:
        moment = datetime.strptime(row["交易时间"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=clock.STUDIO_ZONE)
    except ValueError:
        raise BadBill("a row has no time") from None
    return BillRow(
        at=moment.astimezone(UTC), appid=row["公众账号ID"], mchid=row["商户号"],
        transaction_id=row["微信订单号"], out_trade_no=row["商户订单号"],
        openid=row.get("用户标识") or None, trade_type=row.get("交易类型", ""), trade_state=row["交易状态"],
        currency=row.get("货币种类", ""), paid=_yuan(row["订单金额"]), refund_id=_number(row.get("微信退款单号")),
        refund_no=_number(row.get("商户退款单号")), refunded=_yuan(row["申请退款金额"]), fee=_yuan(row["手续费"]),
        refund_state=row.get("退款状态", ""),
    )  # fmt: skip


def _cells(line: str) -> list[str]:
    if not line.startswith("`"):
        raise BadBill("a row does not begin with a backtick")
    return line[1:].split(",`")


def _number(text: str | None) -> str | None:
    return None if text in (None, "", "0") else text


def _yuan(text: str) -> Decimal:
    try:
        amount = Decimal(text.strip() or "0")
    except InvalidOperation:
        raise BadBill("an amount is no number") from None
    if not amount.is_finite():
        raise BadBill("an amount is no number")
    return amount
