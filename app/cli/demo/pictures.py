"""Receipts for the demo: screenshots of transfers as phones make them, drawn here."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 720, 1280
_COLOURS = {
    "wechat_transfer": (7, 193, 96),
    "alipay": (22, 119, 255),
    "bank_transfer": (192, 30, 46),
    "pos": (80, 80, 90),
}
_TITLES = {"wechat_transfer": "WeChat Pay", "alipay": "Alipay", "bank_transfer": "Bank transfer", "pos": "POS slip"}


def receipt(method: str, amount: str, number: str, when: str, seed: int) -> bytes:
    """A PNG that looks like no other one: the perceptual hash must tell the demo's receipts apart."""
    dice = random.Random(seed)  # noqa: S311
    image = Image.new("RGB", (_WIDTH, _HEIGHT), (246, 246, 248))
    draw = ImageDraw.Draw(image)
    colour = _COLOURS[method]
    head = dice.randint(200, 420)
    draw.rectangle((0, 0, _WIDTH, head), fill=colour)
    draw.text((48, head - 120), _TITLES[method], font=ImageFont.load_default(48), fill="white")
    draw.text((48, head + 60), f"CNY {amount}", font=ImageFont.load_default(84), fill=(20, 20, 24))
    for line, (name, value) in enumerate(
        (("To", "Baishi Gymnastics"), ("No.", number), ("Time", when), ("Status", "Success"))
    ):
        top = head + 220 + line * dice.randint(76, 110)
        draw.text((48, top), name, font=ImageFont.load_default(34), fill=(130, 130, 138))
        draw.text((220, top), value, font=ImageFont.load_default(34), fill=(20, 20, 24))
    for _ in range(14):
        left, top = dice.randint(0, _WIDTH - 120), dice.randint(900, _HEIGHT - 90)
        shade = tuple(dice.randint(120, 250) for _ in range(3))
        draw.rectangle((left, top, left + dice.randint(60, 240), top + dice.randint(20, 90)), fill=shade)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
