"""The upload corpus (I-49): what is no receipt is refused, what is one is kept without anything but its pixels."""

from __future__ import annotations

import hashlib
import io
import time

import pillow_heif
import pytest
from PIL import Image, ImageDraw

from app import guards
from app.domain.desk.lookalike import looks_alike
from app.gateways import picture_child, pictures
from app.gateways.pictures import BadFile, clean, sniff
from tests.gateways.receipt_files import (
    EVIL,
    animation,
    as_bytes,
    jpeg_with_secrets,
    pdf,
    photo,
    png,
    png_of_size,
    slip,
)


def _heic() -> bytes:
    pillow_heif.register_heif_opener()
    return as_bytes(photo(), "HEIF", quality=80)


@pytest.mark.parametrize(
    ("data", "kind", "kept"),
    [
        (as_bytes(photo(), "JPEG"), "image/jpeg", "image/jpeg"),
        (as_bytes(photo(), "PNG"), "image/png", "image/png"),
        (as_bytes(photo(), "WEBP"), "image/webp", "image/jpeg"),
        (_heic(), "image/heic", "image/jpeg"),
        (as_bytes(Image.new("RGBA", (40, 30), (10, 20, 30, 0))), "image/png", "image/png"),
        (as_bytes(photo().convert("P")), "image/png", "image/png"),
        (as_bytes(photo().convert("L")), "image/png", "image/png"),
        (as_bytes(photo().convert("CMYK"), "JPEG"), "image/jpeg", "image/jpeg"),
    ],
)
def test_pictures_are_decoded_and_encoded_anew(data, kind, kept):
    assert sniff(data) == kind
    made = clean(data)
    assert made.media_type == kept == sniff(made.data)
    assert made.sha256 == hashlib.sha256(data).hexdigest()
    assert len(made.pixel_hash) == 64
    assert len(made.lookalike_hash) == 16
    assert len(made.detail_hash) == 262


def test_nothing_but_pixels_is_kept():
    dirty = jpeg_with_secrets()
    assert dirty.count(EVIL) >= 2
    made = clean(dirty)
    assert b"script" not in made.data
    assert b"php" not in made.data
    picture = Image.open(io.BytesIO(made.data))
    assert not picture.getexif()
    assert "comment" not in picture.info
    assert picture.size == (600, 800), "EXIF said that it lay on its side: it is kept upright"


def test_transparency_becomes_white():
    made = clean(as_bytes(Image.new("RGBA", (40, 30), (10, 20, 30, 0))))
    assert Image.open(io.BytesIO(made.data)).getpixel((1, 1)) == (255, 255, 255)


def test_a_large_picture_is_kept_smaller_and_a_large_lossless_one_as_jpeg():
    assert max(Image.open(io.BytesIO(clean(png_of_size(6000, 200)).data)).size) == 4096
    noise = Image.effect_noise((2600, 2600), 90).convert("RGB")
    assert clean(as_bytes(noise, "PNG", compress_level=1)).media_type == "image/jpeg"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "unknown_type"),
        (b"PK\x03\x04" + b"\0" * 100, "unknown_type"),
        (b"GIF89a" + b"\0" * 50, "unknown_type"),
        (b"<html>" + pdf(), "unknown_type"),
        (b"MZ" + b"\0" * 100, "unknown_type"),
        (as_bytes(photo(), "BMP"), "unknown_type"),
        (as_bytes(photo(), "JPEG")[:900], "unreadable"),
        (png()[:2000], "unreadable"),
        (b"\xff\xd8\xff" + EVIL * 40, "unreadable"),
        (b"\x89PNG\r\n\x1a\n" + EVIL, "unreadable"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "unreadable"),
        (b"\0\0\0\x1cftypheic" + b"\0" * 60, "unreadable"),
        (png_of_size(10_000, 10_000), "too_many_pixels"),
        (png_of_size(20_000, 20_000), "too_many_pixels"),
        (animation(10_000), "animated"),
        (animation(3, "PNG"), "animated"),
        (b"%PDF-1.7\nno end", "unreadable"),
        (pdf(b"<</S/JavaScript/JS(app.alert(1))>>"), "active_pdf"),
        (pdf(b"<</S/Java#53cript>>"), "active_pdf"),
        (pdf(b"<</S/Launch/F(cmd.exe)>>"), "active_pdf"),
        (pdf(b"<</Names<</EmbeddedFiles 3 0 R>>>>"), "active_pdf"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}b",
)
def test_what_is_no_receipt_is_refused(data, code):
    began = time.monotonic()
    with pytest.raises(BadFile) as refused:
        clean(data)
    assert refused.value.code == code
    assert time.monotonic() - began < 10


def test_a_pdf_is_kept_as_it_is():
    data = pdf(b"<</Type/Font/JSMath 1>> #zz 100%# <</OpenAction[3 0 R/Fit]>>")
    made = clean(data)
    assert (made.data, made.media_type, made.pixel_hash) == (data, "application/pdf", None)


def test_a_picture_at_the_cap_is_taken_without_growing_this_process():
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert clean(png_of_size(8000, 5000)).media_type == "image/png"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150 * 1024, "kilobytes"


def test_a_decoder_that_hangs_or_dies_only_refuses(monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    monkeypatch.setattr(pictures, "_CHILD", child)
    child.write_text("import time; time.sleep(30)")
    monkeypatch.setattr(pictures, "TIMEOUT", 0.5)
    with pytest.raises(BadFile, match="timeout"):
        clean(png())
    monkeypatch.setattr(pictures, "TIMEOUT", 10)
    child.write_text("import os; os.kill(os.getpid(), 11)")
    with pytest.raises(BadFile, match="exit"):
        clean(png())


def test_the_child_cannot_take_more_memory_than_it_may(monkeypatch, tmp_path):
    source = pictures._CHILD.read_text()
    greedy = source.replace(
        "image = _opened(Image, data)", "x = bytearray(4 * 1024 ** 3); image = _opened(Image, data)"
    )
    assert greedy != source
    child = tmp_path / "child.py"
    child.write_text(greedy)
    monkeypatch.setattr(pictures, "_CHILD", child)
    with pytest.raises(BadFile) as refused:
        clean(png())
    assert refused.value.code == "too_large"


def test_decoding_has_no_place_in_a_transaction():
    token = guards.enter_transaction()
    try:
        with pytest.raises(RuntimeError, match="transaction"):
            clean(png())
    finally:
        guards.leave_transaction(token)


def test_one_byte_more_changes_the_file_and_not_the_pixels():
    once, again = clean(png()), clean(png() + b"\0")
    assert once.sha256 != again.sha256
    assert once.pixel_hash == again.pixel_hash


def _edited(picture):
    ImageDraw.Draw(picture).rectangle((10, 10, 30, 30), fill=(255, 0, 0))
    return picture


@pytest.mark.parametrize("make", [slip, photo])
def test_copies_look_alike_and_others_do_not(make):
    original = clean(as_bytes(make(1)))
    width, height = make(1).size
    copies = [
        as_bytes(make(1), "JPEG", quality=60),
        as_bytes(make(1).resize((width // 2, height // 2))),
        as_bytes(_edited(make(1))),
        as_bytes(make(1).point(lambda value: int(value * 0.96))),
    ]
    for copy in map(clean, copies):
        assert copy.pixel_hash != original.pixel_hash
        assert looks_alike(original.lookalike_hash, original.detail_hash, copy.lookalike_hash, copy.detail_hash)
    for seed in range(2, 7):
        other = clean(as_bytes(make(seed)))
        assert not looks_alike(original.lookalike_hash, original.detail_hash, other.lookalike_hash, other.detail_hash)


def test_blank_pictures_are_told_apart_by_their_colour():
    red, green = (clean(as_bytes(Image.new("RGB", (60, 60), c))) for c in ((200, 20, 20), (20, 200, 20)))
    assert not looks_alike(red.lookalike_hash, red.detail_hash, green.lookalike_hash, green.detail_hash)
    assert looks_alike(red.lookalike_hash, red.detail_hash, red.lookalike_hash, red.detail_hash)


@pytest.mark.parametrize(
    ("data", "code"),
    [(png_of_size(8000, 8000), "too_many_pixels"), (animation(4), "animated"), (animation(4, "PNG"), "animated")],
)
def test_the_child_itself_refuses(data, code):
    with pytest.raises(picture_child.Refused, match=code):
        picture_child.clean_copy(data, pictures.MAX_PIXELS)


def test_the_child_itself_answers():
    answer, body = picture_child.clean_copy(jpeg_with_secrets(), pictures.MAX_PIXELS)
    assert answer["media_type"] == "image/jpeg"
    assert EVIL not in body
    assert picture_child.clean_copy(_heic(), pictures.MAX_PIXELS)[0]["media_type"] == "image/jpeg"
    assert picture_child.clean_copy(as_bytes(Image.new("LA", (9, 9))), 100)[0]["media_type"] == "image/png"
    noise = as_bytes(Image.effect_noise((2400, 2400), 90).convert("RGB"), "PNG", compress_level=1)
    assert picture_child.clean_copy(noise, pictures.MAX_PIXELS)[0]["media_type"] == "image/jpeg"
