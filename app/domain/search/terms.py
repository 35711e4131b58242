"""The ways to write a name: as it is, in full pinyin, by initials, and its first character in full with the initials
of the rest (U2). Pure: text in, terms out."""

from __future__ import annotations

import heapq
import itertools
import unicodedata
from functools import lru_cache

#: a name with many many-voiced characters stops here; the readings closest to the usual ones come first
MAX_READINGS = 8
TERM_LENGTH = 96
NAME_LENGTH = 64

#: readings as a surname that the dictionary lacks
_SURNAMES = {"黑": ("he",), "谌": ("shen",), "费": ("bi",)}
#: characters of given names that are really read in more than one way; the dictionary's older readings (明 as meng)
#: would only swell the index
_GIVEN = {
    "乐": ("le", "yue"), "行": ("xing", "hang"), "长": ("chang", "zhang"), "重": ("chong", "zhong"),
    "朝": ("chao", "zhao"), "茜": ("qian", "xi"), "娜": ("na", "nuo"), "晟": ("sheng", "cheng"),
    "盛": ("sheng", "cheng"), "蔚": ("wei", "yu"), "柏": ("bai", "bo"), "乾": ("qian", "gan"), "奇": ("qi", "ji"),
    "召": ("zhao", "shao"), "陶": ("tao", "yao"), "溪": ("xi", "qi"), "阿": ("a", "e"), "泷": ("long", "shuang"),
    "炅": ("jiong", "gui"), "筠": ("yun", "jun"), "隽": ("jun", "juan"), "俟": ("qi", "si"), "曾": ("zeng", "ceng"),
    "单": ("dan", "shan", "chan"), "解": ("jie", "xie"), "区": ("qu", "ou"), "朴": ("pu", "piao"),
    "会": ("hui", "kuai"), "传": ("chuan", "zhuan"), "藏": ("cang", "zang"), "翟": ("zhai", "di"),
}  # fmt: skip


def normalized(text: str) -> str:
    """What is stored and what is typed, made alike: compatibility forms folded, lower case, no white space."""
    return "".join(unicodedata.normalize("NFKC", text).lower().split())


def is_han(char: str) -> bool:
    return "\u3400" <= char <= "\u9fff" or "\U00020000" <= char <= "\U0003ffff"


@lru_cache(maxsize=16384)
def readings(char: str) -> tuple[str, ...]:
    """Every reading of a character, ü written v; of anything but a Chinese character, the character itself."""
    if not is_han(char):
        return (char,)
    # Its dictionaries cost 20 MB and a third of a second: only those who search or write names pay for them.
    from pypinyin import Style, pinyin

    return tuple(dict.fromkeys((*pinyin(char, style=Style.NORMAL, heteronym=True)[0], *_SURNAMES.get(char, ()))))


@lru_cache(maxsize=16384)
def spellings(text: str) -> tuple[tuple[str, ...], ...]:
    """The likeliest readings of a whole name, at most MAX_READINGS, each one syllable per character, ü written v.

    The first character's readings come before those of the rest: that is where 单 is Shan and 曾 is Zeng.
    """
    if not text:
        return ()
    choices = [readings(text[0]), *(_GIVEN.get(char) or readings(char)[:1] for char in text[1:])]
    # A long text has too many combinations to look at: only its first characters vary.
    choices[6:] = [choice[:1] for choice in choices[6:]]
    likeliest = heapq.nsmallest(
        MAX_READINGS,
        itertools.product(*(range(len(choice)) for choice in choices)),
        key=lambda picks: (sum(picks[1:]) * 2 + picks[0], picks),
    )
    return tuple(tuple(choice[i] for choice, i in zip(choices, picks, strict=True)) for picks in likeliest)


def terms(name: str) -> list[str]:
    """Lower-cased name, and of every likely reading full pinyin, initials and `_surname_first`; each once."""
    plain = normalized(name)[:NAME_LENGTH]
    if not plain:
        return []
    made = [plain]
    for syllables in spellings(plain):
        made += [*_joined(syllables), "".join(s[0] for s in syllables)]
        if len(syllables) > 2:  # of two characters, the full pinyin begins the same way
            made += _surname_first(syllables)
    return list(dict.fromkeys(made))


def _joined(syllables: tuple[str, ...]) -> list[str]:
    """In one word, ü as v and, where there is one, as u too: both are typed."""
    word = "".join(syllables)[:TERM_LENGTH]
    spoken = "".join(s.replace("v", "u") if s[0] in "ln" else s for s in syllables)[:TERM_LENGTH]
    return [word] if word == spoken else [word, spoken]


def _surname_first(syllables: tuple[str, ...]) -> list[str]:
    """`zhangxm`: the first syllable in full, then initials. A term of its own, because sorting them out of all names
    with the same initials takes thousands of rows in a large studio's table."""
    return _joined((syllables[0], *(s[0] for s in syllables[1:])))


def mixed_prefixes(query: str) -> tuple[str, list[str]] | None:
    """For input such as 张xm: the Chinese beginning, and the terms that it may stand for (zhangxm; for 张小m also
    zhangxiaom).

    None when the query does not begin with Chinese and go on with Latin letters.
    """
    head = "".join(itertools.takewhile(is_han, query))
    tail = query[len(head) :]
    if not head or not tail or not tail.isascii():
        return None
    found = []
    for syllables in spellings(head):
        found += [word + tail for word in (*_surname_first(syllables), *_joined(syllables))]
    return head, list(dict.fromkeys(found))
