"""What refuses a makeup besides its credit and its minutes (credits/errors.py) and what refuses any booking."""

from __future__ import annotations

from app.errors import Conflict


class TypeNotAllowed(Conflict):
    code = "TYPE_NOT_ALLOWED"
    message = "补课须与原课程同一类型"
