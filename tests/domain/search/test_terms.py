"""The ways to write a name (U2)."""

from __future__ import annotations

import pytest

from app.domain.search.terms import MAX_READINGS, mixed_prefixes, normalized, readings, spellings, terms


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("张小明", {"张小明", "zhangxiaoming", "zxm", "zhangxm"}),
        ("单雄信", {"shanxiongxin", "sxx", "danxiongxin"}),
        ("解缙", {"xiejin", "xj", "jiejin"}),
        ("曾国藩", {"zengguofan", "zgf", "cengguofan"}),
        ("仇和", {"qiuhe", "qh", "chouhe"}),
        ("区元", {"ouyuan", "oy", "quyuan"}),
        ("谌龙", {"shenlong", "chenlong"}),
        ("吕绿竹", {"lvlvzhu", "luluzhu", "llz", "lvlz", "lulz"}),
        ("女娲", {"nvwa", "nuwa"}),
        ("欧阳乐行", {"ouyanglexing", "ouyangyuexing", "oylx", "oyyx"}),
        ("Tom 李", {"tom李", "tomli", "toml"}),
        ("Ｔｏｍ", {"tom"}),
        ("小雨🌧", {"小雨🌧", "xiaoyu🌧"}),
    ],
)
def test_terms_of_a_name(name, wanted):
    assert wanted <= set(terms(name))


@pytest.mark.parametrize("name", ["", " ", "　"])
def test_nothing_has_no_terms(name):
    assert terms(name) == []


def test_names_of_many_voices_stay_bounded():
    assert len(spellings("行乐长重单解曾仇")) == MAX_READINGS
    assert all(len(term) <= 96 for term in terms("重" * 64))
    assert len(terms("长" * 64)) <= 4 * MAX_READINGS + 1


def test_two_characters_need_no_term_for_the_surname_in_full():
    assert terms("张明") == ["张明", "zhangming", "zm"]


def test_the_first_characters_readings_are_never_crowded_out():
    syllables = {spelling[0] for spelling in spellings("单乐行重朝")}
    assert {"dan", "shan"} <= syllables


def test_mixed_input():
    head, prefixes = mixed_prefixes("张xm")
    assert head == "张"
    assert prefixes == ["zhangxm"]
    assert mixed_prefixes("张小m") == ("张小", ["zhangxm", "zhangxiaom"])
    assert "shanxx" in mixed_prefixes("单xx")[1]
    for query in ("张小明", "zxm", "xm张", "", "张明xm明"):
        assert mixed_prefixes(query) is None


def test_what_is_no_chinese_character_reads_as_itself():
    assert readings("x") == ("x",)
    assert normalized(" 张 小Ming ") == "张小ming"
