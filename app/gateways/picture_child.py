"""Runs in a process of its own: one uploaded picture in, a clean copy and its hashes out.

Started by `pictures.py` as a plain script, never imported by the application. Whatever a hostile file does to the
decoder, it does it here: under limits of memory and processor time, without network, database or keys.

Input: one line of JSON (`{"pixels": 40000000}`), then the file. Output: one line of JSON, then the clean copy.
"""

from __future__ import annotations

import hashlib
import io
import json
import resource
import sys

#: bytes of address space: forty megapixels are 160 MB decoded, and turning a photo upright needs them twice
MEMORY = 1536 * 1024 * 1024
CPU_SECONDS = 12
#: the longer side of what is kept, in pixels: more shows nothing more of a receipt
LONG_SIDE = 4096
#: a lossless copy larger than this is kept as JPEG instead
PNG_BYTES = 4 * 1024 * 1024


class Refused(Exception):
    """`args[0]` is a code of pictures.py."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pixels = json.loads(sys.stdin.buffer.readline())["pixels"]
    try:
        answer, body = clean_copy(sys.stdin.buffer.read(), pixels)
    except Refused as error:
        answer, body = {"refused": error.args[0]}, b""
    except MemoryError:
        answer, body = {"refused": "too_large"}, b""
    except Exception as error:  # a decoder fails in many ways on hostile input; all of them mean unreadable
        answer, body = {"refused": "unreadable", "detail": f"{type(error).__name__}: {error}"[:200]}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + body)


def clean_copy(data: bytes, pixels: int) -> tuple[dict, bytes]:
    """Decode, turn upright, and copy the pixels into a fresh picture that has nothing but pixels."""
    from PIL import Image, ImageOps

    image = _opened(Image, data)
    if image.width * image.height > pixels:
        raise Refused("too_many_pixels")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise Refused("animated")
    lossless = image.format == "PNG"
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    fresh = Image.new("RGB", image.size, (255, 255, 255))
    # Pasting moves pixels and nothing else: EXIF, GPS, comments and whatever hides in them stay behind.
    fresh.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    pixel_hash = hashlib.sha256(b"%dx%d|" % fresh.size + fresh.tobytes()).hexdigest()
    coarse, detail = looks(Image, fresh)
    fresh.thumbnail((LONG_SIDE, LONG_SIDE))
    kind, body = _encoded(fresh, lossless)
    return {"media_type": kind, "pixel_hash": pixel_hash, "lookalike_hash": coarse, "detail_hash": detail}, body


def _opened(Image, data: bytes):
    Image.MAX_IMAGE_PIXELS = None  # our own cap is checked before anything is decoded
    formats = ["JPEG", "PNG", "WEBP"]
    if data[4:8] == b"ftyp":
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
        formats = ["HEIF"]
    return Image.open(io.BytesIO(data), formats=formats)


def _encoded(picture, lossless: bool) -> tuple[str, bytes]:
    out = io.BytesIO()
    if lossless:
        picture.save(out, "PNG")
        if out.tell() <= PNG_BYTES:
            return "image/png", out.getvalue()
        out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return "image/jpeg", out.getvalue()


def looks(Image, picture) -> tuple[str, str]:
    """What a picture looks like: 64 coarse bits to find it by, 1024 fine bits and its mean colour to be sure.

    A difference hash: the picture as 9×8 (33×32) grey cells, one bit for each cell that is brighter than its right
    neighbour. The margin of two grey levels keeps the noise of JPEG out of flat areas. The coarse bits alone can't
    tell two transfers apart in screenshots of one app (measured: half of the pairs differ in no bit at all), the
    fine ones can (12 % apart at least, while copies of one picture stay within 8 %).
    """
    mean = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    grey = picture.convert("L")
    return f"{_difference_bits(Image, grey, 8):016x}", f"{_difference_bits(Image, grey, 32):0256x}%02x%02x%02x" % mean


def _difference_bits(Image, grey, side: int) -> int:
    cells = grey.resize((side + 1, side), Image.Resampling.LANCZOS).tobytes()
    bits = 0
    for row in range(side):
        start = row * (side + 1)
        for column in range(start, start + side):
            bits = bits << 1 | (cells[column] > cells[column + 1] + 2)
    return bits


if __name__ == "__main__":
    main()
