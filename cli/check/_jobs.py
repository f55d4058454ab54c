"""Actor modules, jobs, cadences and queues."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from callboard.errors import DeclarationError
from callboard.job import all_jobs
from callboard.ledger import schedules, workers
from callboard.ledger.database import transaction
from callboard.loading import load_module
from cli.check._finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from callboard.ledger.tables import Table
    from callboard.settings import Settings
    from cli.check._finding import Finding

_NAME = "jobs"
