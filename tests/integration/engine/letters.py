"""Dead letters for tests, written as the recorder writes them, without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import select

from callboard import Job, transaction
from callboard.envelope import facts_of
from callboard.ledger import failures, tables
from callboard.ledger.failures import Failing
from callboard.outcome import Failure

if TYPE_CHECKING:
    from callboard.ledger.wire import Cursor


def bury(job: Job[..., None], arguments: list[tuple[object, ...]], error: str = "out of paper") -> list[int]:
    """One letter of the job for each item; their ids, oldest first."""
    failure = Failure.of(ValueError(error), job=job.spec.name, scope="")
    facts = [facts_of(job.message_with_options(args=args), job.spec) for args in arguments]
    rows = select(tables.dead_letters.c.id).order_by(tables.dead_letters.c.id.desc()).limit(len(facts))
    with transaction() as connection:
        cursor = cast("Cursor", connection.connection.cursor())
        failures.record_many(cursor, [Failing(one, 1, failure, "retries exhausted") for one in facts])
        return sorted(connection.execute(rows).scalars())
