"""Documents name commands, files and headings that exist."""

from __future__ import annotations

import re

import pytest

from tests.architecture.commands import complaints_about, named_commands
from tests.architecture.source import ROOT

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def headings(text: str) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    lines = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def broken_links(path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    found = []
    for target in ("".join(link) for link in _LINK.findall(text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in headings(there.read_text(encoding="utf-8"))):
            found.append(target)
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert broken_links(path) == []


def test_every_command_that_a_document_names_exists(app):
    named = [
        (str(path.relative_to(ROOT)), command)
        for path in DOCUMENTS
        for command in named_commands(path.read_text(encoding="utf-8"), path.name)
    ]
    assert len(named) > 60
    assert complaints_about(app, named) == []


def test_a_command_that_is_not_there_is_found(app):
    named = [
        ("x.md", command) for command in named_commands("`flask ledger verfy`, `flask backup create --fast F`", "x.md")
    ]
    assert len(complaints_about(app, named)) == 2


RUNBOOKS = """a-balance-is-not-what-it-should-be wechat-is-away a-callback-was-lost restoring a-clock-is-off
    redis-is-away a-key-leaked-or-is-to-be-changed moving-from-the-old-system-and-back the-database-is-full-or-away
    the-worker-or-the-scheduler-is-stuck the-certificate-ends somebody-leaves-the-staff a-bulk-adjustment-was-wrong"""


def test_every_trouble_has_its_runbook():
    assert set(RUNBOOKS.split()) <= headings((ROOT / "docs/operations/runbooks.md").read_text(encoding="utf-8"))
