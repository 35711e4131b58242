"""docs/coverage.md says what is there: each path and test that it names exists, and no id of a rule is left out."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

import pytest

from tests.architecture.source import ROOT

#: the last id of each letter; they run from 1 without a gap
LAST = {"R": 9, "P": 11, "C": 6, "W": 32, "B": 11, "O": 26, "Q": 25, "M": 13, "N": 13, "U": 19, "Z": 17, "S": 14}

HEAD = ["id", "what it asks", "where", "test", "state"]
NAMED = re.compile(r"`([^`]+)`")


def table_rows(text: str) -> list[list[str]]:
    """The cells of each table's rows, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row != HEAD and set(row) != {"---"}]


def complaints(rows: list[list[str]]) -> list[str]:
    """What is wrong with the rows, as sentences."""
    found = []
    for row in rows:
        if len(row) != len(HEAD):
            found.append(f"{row[0]}: {len(row)} cells")
            continue
        name, _asks, where, proof, state = row
        paths, tests = NAMED.findall(where), NAMED.findall(proof)
        found += [f"{name}: no {path}" for path in paths if not _exists(path)]
        found += [f"{name}: no {test}" for test in tests if not _is_test(test)]
        if state == "built" and not (paths and tests):
            found.append(f"{name}: built, and nothing shows it")
        elif state != "built" and not re.match(r"part: \w|missing(: \w|$)", state):
            found.append(f"{name}: {state!r} is no state")
    return found + _of_ids([row[0] for row in rows])


@cache
def _exists(path: str) -> bool:
    return (ROOT / "app" / path).exists() or (ROOT / path).exists()


@cache
def _is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    file = ROOT / "tests" / path
    return function.startswith("test_") and file.is_file() and f"def {function}(" in file.read_text()


def _of_ids(names: list[str]) -> list[str]:
    wanted = [f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)]
    found = [f"{name} is left out" for name in wanted if name not in names]
    found += [f"{name} is no id" for name in names if name not in wanted]
    found += [f"{name} is there twice" for name, after in pairwise(sorted(names)) if name == after]
    return found


def document() -> list[list[str]]:
    return table_rows((ROOT / "docs" / "coverage.md").read_text())


def test_paths_tests_and_ids_of_the_document_hold():
    assert complaints(document()) == []


GOOD = ["S14", "…", "`money.py`", "`test_paging.py::test_each_row_once_in_order`", "built"]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([*GOOD[:2], "`moneys.py`", *GOOD[3:]], "S14: no moneys.py"),
        ([*GOOD[:3], "`test_paging.py::test_each_row`", "built"], "S14: no test_paging.py::test_each_row"),
        ([*GOOD[:3], "`test_pages.py::test_each_row_once_in_order`", "built"], "S14: no test_pages.py::"),
        ([*GOOD[:3], "–", "built"], "S14: built, and nothing shows it"),
        ([*GOOD[:4], "part"], "S14: 'part' is no state"),
        (GOOD[:4], "S14: 4 cells"),
        (["S15", *GOOD[1:]], "S14 is left out"),
        (["S15", *GOOD[1:]], "S15 is no id"),
        (["S13", *GOOD[1:]], "S13 is there twice"),
    ],
)
def test_what_does_not_hold_is_found(row, sentence):
    assert complaints([*document()[:-1], GOOD]) == []
    assert any(found.startswith(sentence) for found in complaints([*document()[:-1], row]))
