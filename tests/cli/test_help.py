"""What `--help` says is in Chinese like all that the commands print."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

#: commands that Flask and Flask-Migrate bring along
FOREIGN = {"db", "run", "shell", "routes"}


def sentences(command: click.Command, path: str) -> Iterator[tuple[str, str | None]]:
    """Each of our commands and options with its help."""
    if path:
        yield path, command.help
    for option in command.params:
        if isinstance(option, click.Option) and path:
            yield f"{path} {option.opts[0]}", option.help
    for name, inner in getattr(command, "commands", {}).items():
        if path or name not in FOREIGN:
            yield from sentences(inner, f"{path} {name}".strip())


def test_each_command_says_in_chinese_what_it_does(base_app):
    said = dict(sentences(base_app.cli, ""))
    assert len(said) > 60
    assert [what for what, text in said.items() if not re.search("[一-鿿]", text or "")] == []
