"""The job `compact`: the vector store without orphans, in few files, without old versions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from actors.sessions.settings import get_sessions_settings
from actors.sessions.tables import messages
from actors.sessions.vector_process import VectorProcess
from actors.sessions.vectors import VectorStoreError, table_folder
from callboard import Backoff, TransientError, cron, current_run, job, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_IDS_A_QUERY = 10_000
_IDS_A_DELETE = 1_000


@job(
    "compact",
    queue="maintenance",
    cadence=cron("30 3 * * *"),
    retry=Backoff(max_retries=3, base=300),
    time_limit=3600,
    label="Compact vectors",
)
def compact() -> None:
    """Delete vectors of messages that are gone, merge small files, drop old versions; no table, no work."""
    settings, run = get_sessions_settings(), current_run()
    folder = table_folder(settings.vectors_dir)
    if not folder.is_dir():
        run.count(bytes_before=0, bytes_after=0, orphans_removed=0)
        run.note(skipped="no vectors yet")
        return
    before = _size(folder)
    try:
        with VectorProcess.of(settings) as store:
            run.count(orphans_removed=_remove_orphans(store))
            store.compact(settings.vectors_keep_seconds)
    except VectorStoreError as error:
        raise TransientError(f"{error}; if it stays so, look at the folder {settings.vectors_dir}") from error
    run.count(bytes_before=before, bytes_after=_size(folder))


def _remove_orphans(store: VectorProcess) -> int:
    """Delete the vectors of messages that Postgres does not know, and return how many messages that were.

    A message is committed before its vectors are written, so one that is not there now was deleted.
    """
    removed = 0
    for ids in _slices(store.message_ids(), _IDS_A_QUERY):
        orphans = sorted(set(ids) - _known(ids))
        for part in _slices(orphans, _IDS_A_DELETE):
            store.delete(part)
        removed += len(orphans)
    return removed


def _known(ids: Sequence[int]) -> set[int]:
    """Those that may have vectors: after a restore an id may have gone to a message of another type."""
    wanted = select(messages.c.id).where(messages.c.id == func.any(list(ids)), messages.c.type == "assistant")
    with transaction() as connection:
        return set(connection.scalars(wanted))


def _slices(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; a file that another process removes meanwhile counts for nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_size  # noqa: PTH116, PTH118 - many thousand files
            except FileNotFoundError:
                continue
    return total
