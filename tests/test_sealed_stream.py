"""Long files sealed in chunks: what comes back is what went in, or nothing does (S11)."""

from __future__ import annotations

import base64
import io

import pytest

from app import sealed_stream, vault
from app.sealed_stream import CHUNK
from app.vault import CannotDecrypt

KEY, OTHER = (base64.b64decode(base64.b64encode(bytes([n]) * 32)) for n in (1, 2))


@pytest.fixture(autouse=True)
def keys():
    before = (dict(vault._keys), vault._newest, vault._index_key)
    vault.install([("k1", KEY)], "index")
    yield
    vault._keys.clear()
    vault._keys.update(before[0])
    vault._newest, vault._index_key = before[1:]


def sealed(plain: bytes, purpose: str = "test") -> bytes:
    # In odd pieces: a writer's pieces need not be chunks.
    pieces = [plain[at : at + 700_001] for at in range(0, len(plain), 700_001)]
    return b"".join(sealed_stream.seal(pieces, purpose))


def opened(data: bytes, purpose: str = "test") -> bytes:
    return b"".join(sealed_stream.unseal(io.BytesIO(data), purpose))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
def test_there_and_back(size):
    plain = bytes(i * 7 % 251 for i in range(size % 4096)) + b"x" * (size - size % 4096)
    data = sealed(plain)
    assert opened(data) == plain
    assert size < 64 or plain[:64] not in data


def test_an_older_key_still_opens():
    data = sealed(b"old")
    vault.install([("k2", OTHER), ("k1", KEY)], "index")
    assert opened(data) == b"old"
    vault.install([("k2", OTHER)], "index")
    with pytest.raises(CannotDecrypt, match="k1"):
        opened(data)


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    head, rest, found = data[:17], data[17:], []
    while rest:
        length = 4 + int.from_bytes(rest[:4], "big")
        found.append(rest[:length])
        rest = rest[length:]
    return head, found


@pytest.mark.parametrize(
    "harm",
    [
        lambda head, parts: head + b"".join(parts[:-1]),  # the last chunk gone
        lambda head, parts: head + b"".join(parts[::-1]),  # swapped
        lambda head, parts: head + b"".join(parts[1:]),  # the first gone
        lambda head, parts: head + b"".join([*parts, parts[-1]]),  # one too many
        lambda head, parts: head + b"".join(parts)[:-1],  # cut inside a chunk
        lambda head, parts: head + b"".join(parts) + b"\0",  # a stray byte
        lambda head, parts: head + parts[0][:9] + b"!" + parts[0][10:] + b"".join(parts[1:]),  # one byte altered
        lambda head, parts: head,
        lambda head, parts: head[:8],
        lambda head, parts: b"PK" + head[2:] + b"".join(parts),
        lambda head, parts: head[:6] + b"x" * 40 + b"".join(parts),
    ],
)
def test_any_harm_is_seen(harm):
    head, parts = chunks(sealed(b"a" * CHUNK + b"b" * CHUNK + b"c"))
    assert len(parts) == 3
    with pytest.raises(CannotDecrypt):
        opened(harm(head, parts))


def test_a_stream_for_another_purpose_is_refused():
    with pytest.raises(CannotDecrypt):
        opened(sealed(b"secret"), "other")
