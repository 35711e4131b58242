"""Imports every model, so that mappers, migrations and foreign keys see all tables."""

from __future__ import annotations

from app.domain.audit import models as audit  # noqa: F401
from app.domain.bookings import models as bookings  # noqa: F401
from app.domain.books import models as books  # noqa: F401
from app.domain.cases import models as cases  # noqa: F401
from app.domain.catalog import models as catalog  # noqa: F401
from app.domain.credits import models as credits  # noqa: F401
from app.domain.desk import bulk_models as desk_bulk  # noqa: F401
from app.domain.desk import models as desk  # noqa: F401
from app.domain.ledger import models as ledger  # noqa: F401
from app.domain.longjobs import models as longjobs  # noqa: F401
from app.domain.makeups import models as makeups  # noqa: F401
from app.domain.orders import models as orders  # noqa: F401
from app.domain.outbox import models as outbox  # noqa: F401
from app.domain.people import models as people  # noqa: F401
from app.domain.policy import models as policy  # noqa: F401
from app.domain.questions import models as questions  # noqa: F401
from app.domain.reconcile import models as reconcile  # noqa: F401
from app.domain.retention import models as retention  # noqa: F401
from app.domain.search import models as search  # noqa: F401
from app.domain.seats import models as seats  # noqa: F401
from app.domain.waitlist import models as waitlist  # noqa: F401
from app.domain.watch import models as watch  # noqa: F401
