"""One page of a provider, written: objects, candidates, counts and the cursor behind it, in one transaction."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from sqlalchemy.exc import DataError, IntegrityError

from actors.memory.candidates import Candidate, propose, sanitised
from actors.memory.syncs import _page_statements as sql
from actors.memory.syncs.state import Lost
from actors.memory.texts import Keyring, Unreadable
from actors.memory.users import hold_users
from callboard import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from actors.memory.clients.source import Page, SourceObject
    from actors.memory.syncs.state import Task

_log = structlog.get_logger(__name__)

#: What a sync counts. How many memories are made of its candidates is not known when it ends, since the capture queue
#: decides on them: see the view `memory.sync_results`.
NAMES = (
    "total_items",
    "processed_items",
    "failed_items",
    "candidates",
    "memories_deleted",
)

_LONGEST_ID = 1000
_BATCH = 500


def write_page(task: Task, page: Page, now: datetime) -> Counter[str]:
    """Write a page and move the job behind it; `task` moves along.

    Returns:
        What is named in `NAMES`.

    Raises:
        Lost: Somebody else has the job; nothing was written.
    """
    with transaction() as connection:
        held = connection.execute(sql.HOLD, {"id": task.id, "starts": task.starts, "pages": task.pages})
        if held.rowcount == 0:
            raise Lost
        counts = _write(connection, task, page, now)
        given = {name: counts[name] for name in NAMES}
        connection.execute(sql.ADVANCE, {"id": task.id, "cursor": page.cursor, "at_end": not page.more, **given})
    task.cursor, task.pages, task.read_to_end = page.cursor, task.pages + 1, not page.more
    task.failed_items += counts["failed_items"]
    return counts


def forget_unseen(task: Task, now: datetime) -> Counter[str]:
    """After everything was read: what did not come is gone at the provider.

    Returns:
        `memories_deleted`, and `candidates`: of others that say the same.
    """
    counts: Counter[str] = Counter(candidates=0, memories_deleted=0)
    while True:
        with transaction() as connection:
            given = {"connection": task.connection_id, "since": task.created_at, "now": now, "size": _BATCH}
            gone = _hashes(connection.execute(sql.UNSEEN, given))
            _hold(connection, gone)
            found = _end(connection, task, gone, Keyring.of(connection, [task.user_id]), now)
            connection.execute(sql.ADD, {"id": task.id, "candidates": 0, "memories_deleted": 0, **found})
        counts += found
        if len(gone) < _BATCH:
            return counts


def _write(connection: Connection, task: Task, page: Page, now: datetime) -> Counter[str]:
    objects = {_clean(one.id): one for one in page.objects}  # the last one counts, where an item came twice
    counts: Counter[str] = Counter()
    given = {
        "connection": task.connection_id,
        "ids": [name for name, one in objects.items() if one.deleted],
        "now": now,
    }
    gone = _hashes(connection.execute(sql.DELETE, given))
    _hold(connection, gone)
    keyring = Keyring.of(connection, [task.user_id])
    there = [one for one in objects.values() if not one.deleted]
    try:
        with connection.begin_nested():
            counts += _write_objects(connection, task, there, keyring, now)
    except (DataError, IntegrityError, ValueError):
        counts += _write_singly(connection, task, there, keyring, now)
    counts += _end(connection, task, gone, keyring, now)
    for bad in page.bad:
        _log.warning("sync.object_failed", sync_job_id=str(task.id), source_object_id=bad.id, error=bad.why)
    counts["failed_items"] += len(page.bad)
    counts["total_items"] = len(page.objects) + len(page.bad)
    counts["processed_items"] = counts["total_items"] - counts["failed_items"]
    return counts


def _write_singly(
    connection: Connection, task: Task, objects: Iterable[SourceObject], keyring: Keyring, now: datetime
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for one in objects:
        try:
            with connection.begin_nested():
                counts += _write_objects(connection, task, [one], keyring, now)
        except (DataError, IntegrityError, ValueError) as error:
            counts["failed_items"] += 1
            _log.warning("sync.object_failed", sync_job_id=str(task.id), error=type(error).__name__)
    return counts


def _write_objects(
    connection: Connection, task: Task, objects: Sequence[SourceObject], keyring: Keyring, now: datetime
) -> Counter[str]:
    """The objects, and a candidate of each that is new, is back or says something else than before; how many.

    Raises:
        ValueError: One of them is out of all bounds.
    """
    if not objects:
        return Counter()
    rows = [_row(one, keyring.hash(task.user_id, sanitised(words_of(one)))) for one in objects]
    seen = max(now, task.created_at)  # whatever the clock says, it came in this job
    given = {"connection": task.connection_id, "seen": seen, "rows": orjson.dumps(rows).decode()}
    by_id = {_clean(one.id): one for one in objects}
    changed = [row for row in connection.execute(sql.UPSERT, given) if row.is_changed]
    left = _heirs(connection, task, {row.id: row.said for row in changed if row.said is not None}, keyring)
    served = {heir.source_object_id for heir in left}
    worth = [row for row in changed if row.id not in served and words_of(by_id[row.source_object_id])]
    again = {row.id for row in worth if row.is_back} | _successors(connection, task, [row.id for row in worth])
    made = [_candidate(task, by_id[row.source_object_id], row.id, again=row.id in again) for row in worth]
    return Counter(candidates=propose(connection, [*left, *made], keyring=keyring))


def _row(one: SourceObject, content_hash: str) -> dict[str, Any]:
    if not 0 < len(one.id) <= _LONGEST_ID:
        raise ValueError(f"an id of {len(one.id)} characters")
    told = one.metadata.items()
    metadata = {name: _clean(value) if isinstance(value, str) else value for name, value in told}
    return {
        "source_object_id": _clean(one.id),
        "type": one.type,
        "url": None if one.url is None else _clean(one.url),
        "metadata": metadata,
        "content_hash": content_hash,
    }


def _candidate(task: Task, one: SourceObject, object_id: int, *, again: bool) -> Candidate:
    return _proposal(task, object_id, one.id, category=one.category, content=words_of(one), again=again)


def _proposal(
    task: Task, object_id: int, source_object_id: str, *, category: str, content: str, again: bool
) -> Candidate:
    return Candidate(
        tenant_id=task.tenant_id,
        user_id=task.user_id,
        project_id=task.project_id,
        environment=task.environment,
        source_object_id=object_id,
        sync_job_id=task.id,
        source_type=task.provider,
        category=category,
        content=content,
        extracted_key=f"{task.provider} {source_object_id}",
        again=again,
    )


def words_of(one: SourceObject) -> str:
    """What an object says; nothing if it is a file that has no text, whose name alone tells nobody anything."""
    if one.type == "file" and not one.content.strip():
        return ""
    return f"{one.title}\n\n{one.content}".strip()


def _clean(words: str) -> str:
    """As Postgres takes it."""
    return words.replace("\x00", "").encode("utf-8", "replace").decode()


def _hashes(rows: Iterable[Any]) -> dict[int, str]:
    return {row.id: row.content_hash for row in rows}


def _hold(connection: Connection, gone: Mapping[int, str]) -> None:
    if gone:
        connection.execute(sql.HOLD_CANDIDATES, {"objects": list(gone)})


def _end(connection: Connection, task: Task, gone: Mapping[int, str], keyring: Keyring, now: datetime) -> Counter[str]:
    """End what is of objects that are gone, and propose what others of the connection still say."""
    if not gone:
        return Counter()
    left = _heirs(connection, task, gone, keyring)
    connection.execute(sql.DROP_CANDIDATES, {"objects": list(gone), "now": now})
    hold_users(connection, [task.user_id])
    ended = connection.scalars(sql.END_MEMORIES, {"objects": list(gone), "now": now}).all()
    connection.execute(sql.REVIVE, {"memories": ended})
    return Counter(memories_deleted=len(ended), candidates=propose(connection, left, keyring=keyring))


def _heirs(connection: Connection, task: Task, lost: Mapping[int, str], keyring: Keyring) -> list[Candidate]:
    """Proposals of texts, by the objects that said them until now, for others that say the same and have no own."""
    given = {"connection": task.connection_id, "objects": list(lost), "hashes": list(lost.values())}
    made = []
    for row in connection.execute(sql.HEIRS, given) if lost else ():
        with suppress(Unreadable):
            content = keyring.decrypt(task.user_id, bytes(row.content_ciphertext))
            made.append(
                _proposal(task, row.id, row.source_object_id, category=row.category, content=content, again=True)
            )
    return made


def _successors(connection: Connection, task: Task, objects: Sequence[int]) -> set[int]:
    """Those of the objects that say what another, which says so no more, was proposed for."""
    given = {name: getattr(task, name) for name in ("user_id", "project_id", "environment")}
    return set(connection.scalars(sql.SUCCESSORS, given | {"objects": objects})) if objects else set()
