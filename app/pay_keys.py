"""The keys of a WeChat Pay account that exists only on this machine: development and tests talk to the sandbox with
real signatures, so both sides need real keys. They are made once and never leave the folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MCHID = "1900000001"
CERT_SERIAL = "5157F09EFDC096DE15EBE81A47057A7200000001"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000012026112100000001"


_FILES = (
    "merchant_key.pem", "merchant_public.pem", "platform_key.pem", "platform_public.pem", "apiv3_key", "account.json",
)  # fmt: skip


@dataclass(frozen=True)
class PayKeys:
    """What the merchant's side needs of a sandbox account; the other files are for the sandbox."""

    folder: Path

    @property
    def merchant_key(self) -> Path:
        return self.folder / "merchant_key.pem"

    @property
    def platform_public(self) -> Path:
        return self.folder / "platform_public.pem"

    @property
    def apiv3_key(self) -> Path:
        return self.folder / "apiv3_key"


def ensure(folder: Path) -> PayKeys:
    """The keys in this folder, made if one of them is missing, all of them: they belong together. Two processes at once
    end up with the same."""
    if not _complete(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder.parent):
            if not _complete(folder):
                draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
                _make(draft)
                shutil.rmtree(folder, ignore_errors=True)
                os.rename(draft, folder)
    return PayKeys(folder)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time; the lock is on the folder itself and leaves nothing behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def _make(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    for side in ("merchant", "platform"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write(folder / f"{side}_key.pem", private)
        _write(folder / f"{side}_public.pem", public)
    account = {"mchid": MCHID, "cert_serial": CERT_SERIAL, "public_key_id": PUBLIC_KEY_ID}
    _write(folder / "account.json", json.dumps(account).encode())  # for the sandbox, which knows nothing of ours
    _write(folder / "apiv3_key", secrets.token_hex(16).encode())


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
