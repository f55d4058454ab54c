"""Some candidates, decided and written in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.memory.capture.decisions import CREATED, REDUNDANT
from actors.memory.capture.likeness import twin_of
from actors.memory.capture.queue import Verdict, mark
from actors.memory.capture.sorting import Opened, sort_out
from actors.memory.texts import Keyring
from actors.memory.users import hold_users
from actors.memory.vectors import VectorRow, store
from actors.memory.writing import NewMemory, Written, write

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from actors.memory.capture.queue import Pending

WRITER = "process_capture_queue_job"


def promote(
    connection: Connection, candidates: Sequence[Pending], vectors: Mapping[int, array[float]], now: datetime
) -> list[Verdict]:
    """Decide on candidates that the caller has taken, write memories of what is worth it, and mark the candidates.

    Args:
        connection: In the transaction in which they were taken.
        candidates: In the order of their ids: the later of one key supersedes the earlier.
        vectors: By candidate; one that has none is not compared with the user's memories.
        now: When the memories are born.

    Raises:
        PermanentError: This installation has no key for texts.
    """
    users = {candidate.user_id for candidate in candidates}
    keyring = Keyring.of(connection, users)
    hold_users(connection, users)
    verdicts, worthy = sort_out(connection, candidates, keyring)
    new = []
    for opened in worthy:
        vector = vectors.get(opened.candidate.id)
        twin = None if vector is None else twin_of(connection, opened.candidate, vector)
        if twin is None:
            new.append(opened)
        else:
            verdicts.append(Verdict(opened.candidate.id, REDUNDANT, twin))
    written = write(connection, [_memory(opened) for opened in new], now=now, keyring=keyring, by=WRITER)
    verdicts += [_verdict(opened, result) for opened, result in zip(new, written, strict=True)]
    store(connection, list(_vector_rows(zip(new, written, strict=True), vectors, keyring)))
    mark(connection, verdicts, now)
    return verdicts


def _vector_rows(
    new: Iterable[tuple[Opened, Written]], vectors: Mapping[int, array[float]], keyring: Keyring
) -> Iterator[VectorRow]:
    for (candidate, content, _), written in new:
        if written.created and candidate.id in vectors:
            yield VectorRow(written.id, keyring.hash(candidate.user_id, content), vectors[candidate.id])


def _verdict(opened: Opened, written: Written) -> Verdict:
    """What the current memory of that key says already is not written again."""
    decision = CREATED if written.created else REDUNDANT
    return Verdict(opened.candidate.id, decision, written.id, replaced=written.replaced)


def _memory(opened: Opened) -> NewMemory:
    candidate = opened.candidate
    return NewMemory(
        tenant_id=candidate.tenant_id,
        user_id=candidate.user_id,
        project_id=candidate.project_id,
        environment=candidate.environment,
        text=opened.content,
        extracted_type=candidate.category,
        extracted_key=candidate.extracted_key or "",
        source=candidate.source_type,
        importance=candidate.importance,
    )
