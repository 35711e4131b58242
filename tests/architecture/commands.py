"""Commands that documents and deploy files name, held against the real command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

import click
from flask import Flask

_CODE = re.compile(r"```.*?\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_CALL = re.compile(r"(?:^|[\s\"/(])flask[\s\"]+((?:[^|;&\n#()）（`]|\.\.\.)+)")
#: Flask's own options before the command that take a value
_BEFORE = {"-e", "--env-file", "-A", "--app"}


def named_commands(text: str, path: str) -> Iterator[tuple[str, ...]]:
    """The words after `flask` of every call in a text; of a Markdown file only those in code."""
    pieces = ["".join(found) for found in _CODE.findall(text)] if path.endswith(".md") else [text]
    for piece in pieces:
        for call in _CALL.findall(piece.replace("\\\n", " ")):
            words = _words(call)
            if words:
                yield words


def _words(call: str) -> tuple[str, ...]:
    flat = re.sub(r'[",\]\[。；，、]', " ", call).split(" and ")[0]
    try:
        words = shlex.split(flat)
    except ValueError:
        words = flat.split()
    while words and words[0] in _BEFORE:
        words = words[2:]
    return tuple(words)


def complaints_about(app: Flask, named: Iterable[tuple[str, tuple[str, ...]]]) -> list[str]:
    """What of these (path, words) the command line does not know, as sentences."""
    found = []
    for path, words in named:
        wrong = _unknown(app.cli, words)
        if wrong:
            found.append(f"{path}: flask {' '.join(words)}: no {wrong}")
    return sorted(set(found))


def _unknown(group: click.Group, words: tuple[str, ...]) -> str:
    """The first word that is neither a command nor an option; empty when all are. `a|b` stands for either."""
    command: click.Command = group
    for number, word in enumerate(words):
        if isinstance(command, click.Group):
            if not re.fullmatch(r"[a-z][a-z-]*", word):
                # 「flask backup …」 speaks about all of them
                return "" if number or word == "…" else word
            if word not in command.commands:
                return word
            command = command.commands[word]
        elif word.startswith("--") and word.split("=")[0] not in _options(command):
            return word
    return ""


def _options(command: click.Command) -> set[str]:
    return {"--help", *(name for param in command.params for name in (*param.opts, *param.secondary_opts))}
