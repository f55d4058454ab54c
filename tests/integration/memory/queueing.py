"""Candidates put into the capture queue, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.memory.candidates import Candidate, propose
from actors.memory.capture import process_capture_queue_job
from actors.memory.texts import Keyring
from callboard import Run, transaction
from callboard.run import enter_run
from tests.integration.memory.kit import rows_of

if TYPE_CHECKING:
    from uuid import UUID

TEA = "Anna drinks green tea in the morning."
NOTHING = {
    "scanned": 0,
    "created": 0,
    "discarded_low_signal": 0,
    "discarded_redundant": 0,
    "discarded_transient": 0,
    "discarded_policy": 0,
    "errored": 0,
    "unchecked": 0,
    "deferred": 0,
}


def queue(tenant: UUID, user: UUID, *contents: str, **fields: Any) -> int:  # noqa: ANN401 - fields of Candidate
    """Propose texts; the first one's key is `key_0` and so on, unless `extracted_key` says otherwise."""
    given: dict[str, Any] = {"source_type": "structured_row", "category": "FACT", **fields}
    made = [
        Candidate(tenant_id=tenant, user_id=user, content=content, **{"extracted_key": f"key {number}", **given})
        for number, content in enumerate(contents)
    ]
    with transaction() as connection:
        return propose(connection, made, keyring=Keyring.of(connection, [user]))


def drain() -> dict[str, int]:
    """Run the job; what it counted."""
    run = Run(job="process_capture_queue_job")
    enter_run(run)
    process_capture_queue_job()
    return run.counts


def decisions() -> list[str]:
    """Of all candidates, in their order."""
    return [row["decision"] for row in rows_of("select decision from memory.memory_candidates order by id")]


def memories(columns: str = "*") -> list[dict[str, Any]]:
    """All memories, in their order."""
    return rows_of(f"select {columns} from memory.memories order by id")
