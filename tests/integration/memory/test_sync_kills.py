"""A sync killed at every single step of it, and run again: the end is that of one clean run."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from actors.memory.texts import Keyring
from callboard import transaction
from callboard.ledger.database import get_engine
from tests.integration.memory.kit import NOW, rows_of
from tests.integration.memory.syncing import add_connection, add_job, attempt, connection_row, job_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sandbox.google_drive import GoogleDriveStandIn

_COUNTED = ("total_items", "processed_items", "failed_items", "candidates", "memories_deleted")


class Killed(BaseException):
    """No handler of the job sees a SIGKILL, so nothing that is an Exception will do."""


@contextmanager
def killed_at(step: int) -> Iterator[list[int]]:
    """Every begin and every commit of a transaction is a step; the block is killed at this one, if it comes so far."""
    seen: list[int] = []

    def count(_: object) -> None:
        seen.append(1)
        if len(seen) == step:
            raise Killed

    engine = get_engine()
    for name in ("begin", "commit"):
        event.listen(engine, name, count)
    try:
        yield seen
    except Killed:
        pass
    finally:
        for name in ("begin", "commit"):
            event.remove(engine, name, count)


def end_state(connection_id: UUID, job: UUID) -> dict[str, Any]:
    """All that a sync leaves behind, without ids and times; texts opened."""
    row, made = job_row(job), connection_row(connection_id)
    with transaction() as connection:
        keyring = Keyring.of(connection, [made["user_id"]])
    candidates = rows_of("select * from memory.memory_candidates where user_id = :user", user=made["user_id"])
    kept = rows_of("select * from memory.external_objects where connection_id = :id", id=connection_id)
    texts = [keyring.decrypt(made["user_id"], bytes(one["content_ciphertext"])) for one in candidates]
    return {
        "job": (row["status"], row["cursor"], row["pages"], row["attempts"], row["error"]),
        "counts": [row[name] for name in _COUNTED],
        "cursor": made["cursor"],
        "candidates": sorted(zip((one["extracted_key"] for one in candidates), texts, strict=True)),
        "objects": sorted((one["source_object_id"], one["deleted_at"] is None) for one in kept),
    }


def test_killed_at_every_step_and_run_again_the_end_is_that_of_one_clean_run(
    google_drive: GoogleDriveStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over two pages, with an access token that has to be renewed first."""
    monkeypatch.setattr("actors.memory.clients.google_drive._PAGE", 2)
    for number in range(1, 4):
        google_drive.put(str(number), f"Title {number}", f"Text {number}")
    expected, step, cut_off = None, 0, 0
    while True:
        made = add_connection("google_drive", token_expires_at=NOW - timedelta(days=1))
        job = add_job(made)
        with killed_at(step) as seen:
            attempt(job)
        survived = step > len(seen)
        cut_off += step > 0 and not survived
        if not survived and job_row(job)["status"] != "COMPLETED":
            attempt(job)
        attempt(job)  # once more: a job that is over stays as it is
        state = end_state(made, job)
        expected = expected or state
        assert state == expected, f"killed at step {step}"
        if survived:
            break
        step += 1
    assert cut_off >= 10
    assert expected["counts"][:4] == [3, 3, 0, 3]
