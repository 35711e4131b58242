"""docs/operations/invariants.md says what shows each invariant: every test and file that it names exists, no id is left
out, and what is built has a control or a reason for none."""

from __future__ import annotations

import re

import pytest

from tests.architecture.source import ROOT
from tests.architecture.test_coverage_doc import _is_test

HEAD = ["id", "what holds", "proof", "control", "state"]
LAST = 50
NAMED = re.compile(r"`([\w/.-]+\.py(?:::\w+)?)`")


def table_rows(text: str) -> list[list[str]]:
    """The cells of the table's rows, without head and rule."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in rows if row != HEAD and set(row) != {"---"}]


def complaints(rows: list[list[str]]) -> list[str]:
    """What is wrong with the rows, as sentences."""
    found = []
    for name, _what, proof, control, state in rows:
        proofs, controls = NAMED.findall(proof), NAMED.findall(control)
        found += [f"{name}: no {one}" for one in (*proofs, *controls) if not _exists(one)]
        if state == "missing":
            found += [f"{name}: missing, and something shows it"] if proofs else []
        elif state != "built" and not re.match(r"part: \w", state):
            found.append(f"{name}: {state!r} is no state")
        elif not proofs:
            found.append(f"{name}: nothing shows it")
        if state == "built" and not controls and not re.match(r"– \w", control) and name not in ALONE:
            found.append(f"{name}: no control and no reason for none")
    wanted = [f"I-{number:02}" for number in range(1, LAST + 1)]
    if [row[0] for row in rows] != wanted:
        found.append("the ids are not I-01 to I-50 in their order")
    return found


#: measured against a time, which a slower run misses by itself
ALONE = {"I-36"}


def _exists(name: str) -> bool:
    if "::" in name:
        return _is_test(name)
    return (ROOT / "tests" / name).is_file() or (ROOT / name).is_file()


def document() -> list[list[str]]:
    return table_rows((ROOT / "docs" / "operations" / "invariants.md").read_text())


def test_what_the_document_names_is_there():
    assert complaints(document()) == []


@pytest.mark.parametrize(
    ("number", "cell", "text", "sentence"),
    [
        (0, 2, "`drills/nowhere.py`", "I-01: no drills/nowhere.py"),
        (0, 2, "`test_paging.py::test_nothing`", "I-01: no test_paging.py::test_nothing"),
        (0, 2, "–", "I-01: nothing shows it"),
        (0, 3, "–", "I-01: no control and no reason"),
        (0, 4, "part", "I-01: 'part' is no state"),
        (0, 4, "missing", "I-01: missing, and something shows it"),
        (0, 0, "I-51", "the ids are not"),
    ],
)
def test_what_does_not_hold_is_found(number, cell, text, sentence):
    rows = document()
    rows[number][cell] = text
    assert any(found.startswith(sentence) for found in complaints(rows))
