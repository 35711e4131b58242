"""Calls at the same moment, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask

from app.db import db


def at_once(*calls: Callable[[], Any]) -> list:
    """What each call gave, or the exception that it raised, in the order of the calls."""
    gate, answers = threading.Barrier(len(calls)), [None] * len(calls)

    def run(place: int, call: Callable[[], Any]) -> None:
        gate.wait()
        try:
            answers[place] = call()
        except Exception as error:
            answers[place] = error

    threads = [threading.Thread(target=run, args=one) for one in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def at_once_in(app: Flask, *acts: Callable[[], Any]) -> list:
    """The same, each act with the app and a database session of its own."""
    return at_once(*(partial(_in_session, app, act) for act in acts))


def _in_session(app: Flask, act: Callable[[], Any]) -> Any:
    with app.app_context():
        try:
            return act()
        finally:
            db.session.remove()
