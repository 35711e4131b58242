"""What every template may use beside its own context: the person, the navigation, the time, the theme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app, request

from app import clock, ids
from app.domain.people.sessions import SignedIn
from app.domain.reports import waiting
from app.web import labels, navigation
from app.web.errors import BARE
from app.web.permissions import can, current_person, is_portal
from app.web.rendering import wants_fragment

THEME_COOKIE = "desk-theme"
THEMES = ("light", "dark", "auto")


@dataclass(frozen=True, slots=True)
class Face:
    """The signed-in person as pages show them."""

    id: int
    username: str
    display_name: str
    role: str
    role_text: str


def init_app(app: Flask) -> None:
    app.context_processor(_context)


def _context() -> dict[str, Any]:
    if not is_portal():
        return {}
    person = None if request.environ.get(BARE) else current_person()
    return {
        "request_id": ids.request_id(),
        "now": clock.now(),
        "theme": theme(),
        "can": can if person else lambda _permission: False,
        "current_staff": _face(person) if person else None,
        "nav_groups": _groups(person) if person and not wants_fragment() else [],
    }


def theme() -> str:
    value = request.cookies.get(THEME_COOKIE)
    return value if value in THEMES else "light"


def _face(person: SignedIn) -> Face:
    return Face(
        id=person.staff_id,
        username=person.username,
        display_name=person.display_name,
        role=person.role,
        role_text=labels.label("staff_role", person.role).word,
    )


def _groups(person: SignedIn) -> list[navigation.Group]:
    if person.must_change_password or person.second_factor_due:
        return []  # nothing is open to them yet but the set-up itself
    counts = waiting.count(navigation.waits(can), me=person.staff_id)
    return navigation.visible_groups(can, current_app.view_functions, counts)
