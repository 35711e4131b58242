"""`flask doctor` and the system page: whether the keys of payments and of our own data fit (U10)."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from app import config
from app.config import WeChatPay
from app.db import db
from app.domain.people.models import User
from app.domain.people.phones import whole_index
from app.domain.watch import findings
from app.flows import outside_checks
from app.flows.outside_checks import ERROR, OK, WARNING, Finding
from app.vault import CannotDecrypt, sealed_with_newest


def look() -> list[Finding]:
    """The periodic job: look at keys, certificates and the outside, and keep what was found. Takes some seconds."""
    found = [*payment_keys(config.current().wxpay), *data_keys()]
    db.session.rollback()
    found += outside_checks.all_checks()
    findings.keep(found=found)
    return found


def payment_keys(account: WeChatPay) -> Iterator[Finding]:
    """Whether the merchant's key and WeChat Pay's can be read."""
    if account.missing:
        yield Finding("微信支付", WARNING, f"不能收款，缺少 {'、'.join(account.missing)}", "按 .env.example 填写后重启")
        return
    try:
        private = load_pem_private_key(account.private_key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, RSAPrivateKey):
        remedy = "换成商户平台下载的 apiclient_key.pem"
        yield Finding("DESK_WXPAY_PRIVATE_KEY_FILE", ERROR, "读不出 RSA 私钥", remedy)
    broken = [number for number, pem in account.public_keys if not _is_public(pem)]
    for number in broken:
        yield Finding("微信支付公钥", ERROR, f"{number} 的文件读不出 RSA 公钥", "换成商户平台下载的微信支付公钥文件")
    if isinstance(private, RSAPrivateKey) and not broken:
        numbers = "、".join(number for number, _ in account.public_keys)
        yield Finding("微信支付", OK, f"商户 {account.mchid}，公钥 {numbers}")


def _is_public(pem: str) -> bool:
    try:
        return isinstance(load_pem_public_key(pem.encode()), RSAPublicKey)
    except (ValueError, UnsupportedAlgorithm):
        return False


def data_keys() -> Iterator[Finding]:
    """Do the keys open what is there? The oldest and the newest phone number stand for all."""
    table = User.__table__
    raw = sa.select(table.c.id, sa.type_coerce(table.c.phone, sa.LargeBinary).label("box")).where(
        table.c.phone.is_not(None)
    )
    old = 0
    for order in (table.c.id.asc(), table.c.id.desc()):
        row = db.session.execute(raw.order_by(order).limit(1)).first()
        if row is None:
            yield Finding("数据密钥", OK, "还没有加密的数据")
            return
        try:
            user = db.session.execute(sa.select(table.c.phone, table.c.phone_index).where(table.c.id == row.id)).one()
        except CannotDecrypt as error:
            yield Finding("数据密钥", ERROR, f"打不开已有的手机号：{error}", "把旧密钥加回 DESK_DATA_KEYS 的末尾")
            return
        if user.phone_index != whole_index(user.phone):
            yield Finding(
                "DESK_INDEX_KEY", ERROR, "与数据不符，按手机号搜不到人", "改回原来的值，或运行 flask data reindex"
            )
            return
        old += not sealed_with_newest(bytes(row.box))
    if old:
        yield Finding("数据密钥", WARNING, "有数据仍由旧密钥加密", "运行 flask data rotate，完成后才能删掉旧密钥")
    else:
        yield Finding("数据密钥", OK, "能打开已有的数据")
