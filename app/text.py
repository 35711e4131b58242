"""Hygiene of text that people type (S4): control and bidirectional characters are stripped on the way in.

Escaping is the job of whoever writes the text out; this only removes what no honest name or note contains.
"""

from __future__ import annotations

import unicodedata

# Embeddings, overrides, isolates and marks that reverse how the rest of a line is shown.
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Zero-width joiner holds emoji families together and stays.
_KEPT = {"\u200d"}


def _is_stripped(char: str) -> bool:
    if char in _BIDI:
        return True
    if char in _KEPT or "\U0001f000" <= char <= "\U0001faff":
        return False  # emoji newer than this Python's tables count as unassigned there
    # U+FE0F (emoji style) is Mn and stays; the flags' tag characters are Cf, so flags of regions lose their tail.
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn")


def clean(text: str | None, max_length: int, *, multiline: bool = False) -> str:
    """The text without control and bidi characters, white space folded, cut to `max_length` characters."""
    if not text:
        return ""
    kept = []
    for char in text:
        if char == "\n" and multiline:
            kept.append(char)
        elif char.isspace():
            kept.append(" ")
        elif _is_stripped(char):
            continue
        else:
            kept.append(char)
    joined = "".join(kept)
    if multiline:
        lines = (" ".join(line.split()) for line in joined.split("\n"))
        return "\n".join(lines).strip()[:max_length]
    return " ".join(joined.split())[:max_length]
