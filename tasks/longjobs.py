"""Long work. An id in, one flow called: the job's row says how far it is."""

from __future__ import annotations

from app.flows import longjobs


def run(job_id: int) -> None:
    """Do some rows of one long job."""
    longjobs.run(job_id)
