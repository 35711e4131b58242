"""The security report says nothing that is not there: each requirement once, all evidence exists (S1, S14)."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.security import advisories, evidence

#: level 1 and 2 requirements of ASVS 5.0.0 by chapter; chapters 10 and 17 are answered as a whole
CHAPTERS = {1: 27, 2: 11, 3: 19, 4: 10, 5: 9, 6: 35, 7: 18, 8: 7, 9: 7, 10: 1, 11: 14, 12: 9, 13: 13, 14: 9, 15: 13,
            16: 16, 17: 1}  # fmt: skip
CHOSEN = {
    "1.2.10", "2.3.5", "2.4.2", "3.5.8", "5.2.4", "5.2.6", "6.3.5", "6.3.6", "6.3.7", "6.3.8", "6.4.6", "7.5.3",
    "8.1.4", "8.2.4", "8.3.2", "13.1.3", "14.2.6", "14.2.7", "14.2.8",
}  # fmt: skip


def test_every_requirement_is_answered_once():
    found = evidence.requirements()
    assert [key for key, times in Counter(one["id"] for one in found).items() if times > 1] == []
    counted = Counter(int(one["id"].split(".")[0]) for one in found if one["level"] < 3)
    assert dict(counted) == CHAPTERS
    assert {one["id"] for one in found if one["level"] == 3} == CHOSEN


def test_every_answer_has_its_evidence_or_its_reason():
    for one in evidence.requirements():
        assert one["state"] in ("met", "open", "n/a"), one
        if one["state"] == "met":
            assert one["evidence"], one
            assert list(evidence.missing(one["evidence"])) == [], one["id"]
        else:
            assert len(one["why"]) > 5, one


def test_each_of_the_twenty_abuses_has_tests():
    assert [one["number"] for one in evidence.abuses()] == list(range(1, 21))
    assert [gone for one in evidence.abuses() for gone in evidence.missing(one["tests"])] == []


def test_the_search_for_evidence_bites():
    given = ["README.md", "no/such.py", "tests/security/test_evidence.py::test_no_such"]
    assert list(evidence.missing(given)) == given[1:]


@pytest.mark.parametrize(("pinned", "open_"), [("2.0.0", True), ("2.0.9", True), ("2.0.10", False), ("3.1", False)])
def test_advisories_are_compared_by_version(pinned, open_):
    told = [{"package": "Some_Package", "fixed": "2.0.10", "id": "X-1", "severity": "high"}]
    assert bool(advisories.against({"some-package": pinned}, told)) is open_


def test_the_versions_that_are_compared_are_the_pinned_ones():
    pinned = advisories.pinned()
    assert {"flask", "sqlalchemy", "htmx.org"} <= set(pinned)
    assert all(version[0].isdigit() for version in pinned.values())
