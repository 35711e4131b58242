"""Files for tests of receipts, honest and hostile, made here so that no binary lies in the repository."""

from __future__ import annotations

import io
import random
import struct
import zlib

from PIL import Image, ImageDraw, ImageFont

EVIL = b"<script>alert(1)</script><?php system($_GET[0]); ?>"


def slip(seed: int = 1, *, size: tuple[int, int] = (540, 1170)) -> Image.Image:
    """Like a screenshot of a transfer: one app's layout, with its own amount, times and numbers."""
    chance = random.Random(seed)
    picture = Image.new("RGB", size, (245, 245, 245))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, size[0], 45), fill=(237, 237, 237))
    draw.ellipse((size[0] // 2 - 30, 130, size[0] // 2 + 30, 190), fill=(7, 193, 96))
    draw.text((size[0] // 2 - 90, 230), f"Y {chance.randint(100, 9999)}.00", fill=(0, 0, 0), font=_font(48))
    for line, word in enumerate(("Transfer time", "Received", "Order no", "Method", "Payee")):
        draw.text((30, 400 + line * 45), word, fill=(120, 120, 120), font=_font(20))
        number = str(chance.randint(10**17, 10**18))
        draw.text((200, 400 + line * 45), number, fill=(30, 30, 30), font=_font(20))
    return picture


def photo(seed: int = 1, *, size: tuple[int, int] = (800, 600)) -> Image.Image:
    """Soft blotches of colour, different for each seed."""
    chance = random.Random(seed)
    small = Image.frombytes("RGB", (8, 6), bytes(chance.randrange(256) for _ in range(144)))
    return small.resize(size, Image.Resampling.BICUBIC)


def as_bytes(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def png(seed: int = 1) -> bytes:
    return as_bytes(slip(seed))


def pdf(body: bytes = b"") -> bytes:
    return b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n" + body + b"\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def jpeg_with_secrets() -> bytes:
    """A JPEG with a place in its EXIF, a script in its comment, and more after its end."""
    picture = photo()
    exif = Image.Exif()
    exif[0x010E] = EVIL.decode()
    exif[0x0112] = 6  # lying on its side
    place = exif.get_ifd(0x8825)
    place[1], place[2] = "N", (31.0, 14.0, 8.52)
    return as_bytes(picture, "JPEG", exif=exif, comment=EVIL) + EVIL


def png_of_size(width: int, height: int) -> bytes:
    """A well-formed PNG of any size in a few kilobytes: what a decompression bomb looks like."""
    squeeze = zlib.compressobj(9)
    row = b"\0" * (width // 8 + 2)
    body = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def animation(frames: int, kind: str = "WEBP") -> bytes:
    pictures = [Image.new("RGB", (8, 8), (i * 37 % 256, i * 91 % 256, 0)) for i in range(frames)]
    return as_bytes(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=10)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
