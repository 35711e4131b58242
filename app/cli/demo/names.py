"""Who lives in the demo. The first eight parents are the ones whose phone the sandbox plays."""

from __future__ import annotations

import random
from dataclasses import dataclass

LEVELS = ("L1", "L2", "L3", "L4", "L5", "L6")

#: one demo password for all demo accounts, printed by `make run`; refused in production like the rest of the demo
PASSWORD = "demo-Tiyu-2026"  # noqa: S105 - it is meant to be read

STAFF = (
    ("qiantai", "林小满", "front_desk"),
    ("caiwu", "何静", "finance"),
    ("dianzhang", "沈志远", "manager"),
    ("fudian", "郑雅文", "manager"),
    ("shenji", "方正平", "auditor"),
    ("guanli", "唐宇", "admin"),
)

SURNAMES = (
    "张李王陈刘赵周吴徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘蔡蒋余杜叶"
    "程苏魏吕丁任沈姚卢姜崔钟谭陆汪范石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎"
    "贺顾毛郝龚邵万钱严覃武戴莫孔向汤单解仇区"
)
GIVEN = (
    "小明", "子涵", "雨桐", "思远", "乐天", "欣怡", "浩然", "梓萱",
    "一诺", "俊杰", "诗涵", "宇轩", "可馨", "沐宸", "若曦", "子墨",
    "安琪", "嘉豪", "语嫣", "晨曦", "奕辰", "佳怡", "博文", "芷若",
    "天佑", "雅静", "铭泽", "依诺", "锦程", "绿萍", "知夏", "星辰",
)  # fmt: skip

#: (parent, students) of the eight that the sandbox's phone plays, in its order
PLAYED = (
    ("张女士", ("张小明", "张小红")),
    ("李先生", ("李思远",)),
    ("王女士", ("王梓萱", "王俊杰")),
    ("陈先生", ("陈浩然",)),
    ("刘女士", ("刘一诺",)),
    ("赵先生", ("赵可馨",)),
    ("欧阳女士", ("欧阳子墨",)),
    ("周女士", ("周沐宸", "周语嫣")),
)
#: names that a search by pinyin must get right, and ones that a page must stand
HARD = (
    ("单女士", ("单雨桐",)), ("解先生", ("解思远",)), ("曾女士", ("曾乐天",)), ("仇先生", ("仇子涵",)),
    ("区女士", ("区安琪",)), ("吕先生", ("吕绿萍",)), ("诸葛女士", ("诸葛一诺", "诸葛思远", "诸葛乐天")),
    ("Anna Müller", ("Lena Müller",)), ("小鱼妈妈🐟", ("于小鱼",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Household:
    """One family to be: `number` counts from 1 and decides everything else."""

    number: int
    parent: str
    students: tuple[str, ...]
    openid: str
    phone: str

    @property
    def family(self) -> str:
        return f"{self.parent}家庭"


def household(number: int) -> Household:
    """The family with this number; always the same one."""
    dice = random.Random(number)  # noqa: S311 - names of a demo
    told = PLAYED + HARD
    if number <= len(told):
        parent, students = told[number - 1]
    else:
        surname = SURNAMES[number % len(SURNAMES)]
        parent = surname + ("女士" if number % 3 else "先生")
        given = dice.sample(GIVEN, 2 if number % 4 == 0 else 1)
        students = tuple(surname + name for name in given)
    played = number <= len(PLAYED)
    openid = f"demo-parent-{number:02d}" if number < 100 else f"demo-parent-{number}"
    # The sandbox hands these numbers over when its page is asked for the phone.
    phone = f"1390000{number:04d}" if played else f"138{number:08d}"
    return Household(number, parent, students, openid, phone)


def birthday(number: int, child: int) -> str:
    """A day between four and twelve years before 2026."""
    dice = random.Random(number * 10 + child)  # noqa: S311
    return f"{dice.randint(2014, 2021)}-{dice.randint(1, 12):02d}-{dice.randint(1, 28):02d}"
