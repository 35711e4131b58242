"""What long work refuses."""

from __future__ import annotations

from app.errors import NotFound


class LongJobNotFound(NotFound):
    code = "LONG_JOB_NOT_FOUND"
    message = "没有找到这个后台任务"


class LeaseLost(Exception):
    """The job was cancelled, ended, or taken over by another worker: this one stops, its row rolled back."""
