"""What every command needs at its edge: who runs it, and how a refusal is said."""

from __future__ import annotations

import functools
import os
import pwd
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.domain.audit.actor import Actor, system
from app.errors import DomainError


def operator_name() -> str:
    """The account of the operating system that runs this command."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def operator() -> Actor:
    """The operator as the audit log names them."""
    return system(f"命令行（{operator_name()}）")


def says_refusals(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print a refusal of the domain as one line per field, a database that is away or empty as what to do about
    it, and exit with 1."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except DomainError as error:
            fields = error.errors or {}
            sentences = [f"{name}: {text}" for name, texts in fields.items() for text in texts]
            raise click.ClickException("\n".join(sentences) or error.message) from error
        except (OperationalError, ProgrammingError) as error:
            raise click.ClickException(f"数据库不可用或尚未建表，请运行 flask doctor 查看：{error.orig}") from error

    return run
