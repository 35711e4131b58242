"""Whether two receipts show the same picture (W14): found by 64 coarse bits, confirmed by 1024 fine ones.

How the bits come about: app/gateways/picture_child.py. Two coarse hashes that differ in at most three of 64 bits
share at least one of their four 16-bit quarters, so looking the quarters up by key finds every candidate.
"""

from __future__ import annotations

#: bits of the coarse hash that may differ
NEAR = 3
#: of the fine hash: this share of all set bits, or this many bits where a picture has few
DETAIL_PERCENT = 9
DETAIL_BITS = 8
#: per channel of the mean colour, of 255
COLOUR = 24


def bands(coarse: str) -> list[str]:
    """The four keys of a coarse hash of 16 hex digits, e.g. `0:9f3c`."""
    return [f"{quarter}:{coarse[quarter * 4 : quarter * 4 + 4]}" for quarter in range(4)]


def near(coarse: str, other: str) -> bool:
    return (int(coarse, 16) ^ int(other, 16)).bit_count() <= NEAR


def looks_alike(coarse: str, detail: str, other_coarse: str, other_detail: str) -> bool:
    """Whether copies of one picture would differ this little: scaled, compressed anew, brightened, a spot painted."""
    if not near(coarse, other_coarse):
        return False
    ours, theirs = int(detail[:-6], 16), int(other_detail[:-6], 16)
    differing = (ours ^ theirs).bit_count()
    allowed = max(DETAIL_BITS, (ours.bit_count() + theirs.bit_count()) * DETAIL_PERCENT // 100)
    colours = zip(bytes.fromhex(detail[-6:]), bytes.fromhex(other_detail[-6:]), strict=True)
    return differing <= allowed and all(abs(a - b) <= COLOUR for a, b in colours)
