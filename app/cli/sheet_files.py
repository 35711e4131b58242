"""What the import commands share: reading a file of rows, and saying where it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from app import sheets
from app.sheets import BadSheet, CellError, Row

T = TypeVar("T")


def read(file: Path, columns: Collection[str], gather: Callable[[Iterable[Row]], tuple[T, list[CellError]]]) -> T:
    """What `gather` makes of the file's rows; ends the command with every error where there is one."""
    try:
        sheet = sheets.read(file.read_bytes(), columns)
    except BadSheet as error:
        refuse(list(error.errors))
    gathered, errors = gather(sheet.rows)
    # A cell that could not be read is empty afterwards: only the first complaint about it is worth saying.
    first: dict[tuple[int, str], CellError] = {}
    for error in sheet.errors + errors:
        first.setdefault((error.line, error.column), error)
    if first:
        refuse(sorted(first.values(), key=lambda error: error.line))
    return gathered


def refuse(errors: list[CellError]) -> NoReturn:
    """Print the errors and end the command with 1."""
    for error in errors:
        click.echo(str(error), err=True)
    click.echo(f"{len(errors)} 处有误，没有导入任何内容", err=True)
    raise click.exceptions.Exit(1)
