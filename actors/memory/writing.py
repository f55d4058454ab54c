"""How memories are written and recalled, by whoever does it: rows, events and webhooks in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import orjson

from actors.memory import _writing_statements as sql
from actors.memory.new_memory import NewMemory, Slot
from actors.memory.terms import Terms, terms_of
from actors.memory.users import hold_users
from actors.memory.webhooks import WebhookEvent, emit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from sqlalchemy import Connection

    from actors.memory.texts import Keyring

__all__ = ["NewMemory", "Slot", "Written", "recall", "remember", "write"]


class Written(NamedTuple):
    """The row that has a memory's text: its own or, not `created`, that of the current memory, which says the same.

    `replaced` is the memory that it superseded.
    """

    id: int
    created: bool
    replaced: int | None = None


@dataclass(slots=True)
class _Placed:
    """A memory in its slot and the one that it supersedes there; without `memory` it is in the table already."""

    content_hash: str
    memory: NewMemory | None = None
    replaces: _Placed | None = None
    id: int = 0


class _Row(NamedTuple):
    """Columns of `memories`."""

    id: int
    tenant_id: UUID
    user_id: UUID
    project_id: UUID | None
    environment: str
    end_user_id: str | None
    extracted_type: str
    extracted_key: str
    text_ciphertext: bytes
    content_hash: str
    tags: str
    source: str
    importance: float
    gated: bool
    tier: str
    archive_at: datetime | None
    retention_expires_at: datetime
    expires_at: datetime | None


class _Event(NamedTuple):
    """A row of `memory_events`."""

    memory_id: int
    tenant_id: UUID
    event_type: str
    source: str
    payload: str


def remember(connection: Connection, memories: Sequence[NewMemory], *, now: datetime, keyring: Keyring) -> list[int]:
    """Write memories and return their ids in the same order; see `write`."""
    return [written.id for written in write(connection, memories, now=now, keyring=keyring)]


def write(
    connection: Connection, memories: Sequence[NewMemory], *, now: datetime, keyring: Keyring, by: str = "api"
) -> list[Written]:
    """Write memories, each superseding the current one of its slot; the users are held until the transaction ends.

    A text that the slot's current memory has already is not written again, so that a second call changes nothing.
    Below the tenant's gating threshold a memory is gated: it is kept, and gets no vector. A short time to live starts
    it warm or cold. Its owner's insights are due again. `by` is the source of its events: the API, or which job.

    Raises:
        Unreadable: The keyring has no key of one of the users; nothing is written.
    """
    if not memories:
        return []
    hold_users(connection, {memory.user_id for memory in memories})
    places = _places(connection, memories, now, keyring)
    new = [placed for placed, is_new in places if is_new]
    if new:
        _insert(connection, new, now, keyring)
        _supersede(connection, new, now)
        _tell(connection, new, now, by)
    return [Written(placed.id, is_new, _replaced(placed) if is_new else None) for placed, is_new in places]


def recall(connection: Connection, memory_ids: Sequence[int], *, now: datetime) -> int:
    """Note that these memories were recalled, each as often as it is named; returns how many of them there are.

    A recall makes a memory as fresh as a new one and moves it up a tier. What is deleted, or past its end, is not
    recalled.
    """
    recalled = connection.execute(sql.RECALL, {"ids": list(memory_ids), "now": now}).all()
    events = [
        WebhookEvent(
            row.tenant_id,
            "memory.recalled",
            {"memory_id": row.id, "user_id": str(row.user_id), "environment": row.environment, "tier": row.tier},
            str(recall_id),
            row.project_id,
            now,
        )
        for row in recalled
        for recall_id in row.recall_ids
    ]
    promoted = [_promotion(row) for row in recalled if row.tier != row.tier_before]
    _keep_events(connection, promoted, now)
    if events:
        emit(connection, events)
    return len(recalled)


def _places(
    connection: Connection, memories: Sequence[NewMemory], now: datetime, keyring: Keyring
) -> list[tuple[_Placed, bool]]:
    """Where each memory stands, and whether it is new there: else its text stood there when its turn came."""
    latest = _current(connection, {memory.slot for memory in memories}, now)
    places = []
    for memory in memories:
        content_hash, there = keyring.hash(memory.user_id, memory.text), latest.get(memory.slot)
        if is_new := there is None or there.content_hash != content_hash:
            latest[memory.slot] = there = _Placed(content_hash, memory, there)
        places.append((there, is_new))
    return places


def _current(connection: Connection, slots: set[Slot], now: datetime) -> dict[Slot, _Placed]:
    found = connection.execute(sql.CURRENT, {**_columns(Slot._fields, slots), "now": now})
    return {Slot(*slot): _Placed(content_hash, id=number) for number, content_hash, *slot in found}


def _replaced(placed: _Placed) -> int | None:
    return None if placed.replaces is None else placed.replaces.id


def _insert(connection: Connection, new: list[_Placed], now: datetime, keyring: Keyring) -> None:
    memories = _memories(new)
    terms = terms_of(connection, {memory.tenant_id for memory in memories})
    for placed, number in zip(new, connection.scalars(sql.NUMBERS, {"count": len(new)}), strict=True):
        placed.id = number
    rows = [
        _row(placed, memory, terms[memory.tenant_id], now, keyring.encrypt(memory.user_id, memory.text))
        for placed, memory in zip(new, memories, strict=True)
    ]
    connection.execute(sql.INSERT, {**_columns(_Row._fields, rows), "now": now})
    connection.execute(sql.INSIGHTS_DUE, {"ids": list({memory.user_id for memory in memories})})


def _memories(new: Iterable[_Placed]) -> list[NewMemory]:
    return [placed.memory for placed in new if placed.memory is not None]


def _row(placed: _Placed, memory: NewMemory, terms: Terms, now: datetime, ciphertext: bytes) -> _Row:
    ttl = None if memory.ttl_seconds is None else timedelta(seconds=memory.ttl_seconds)
    return _Row(
        placed.id,
        memory.tenant_id,
        *memory.slot,
        ciphertext,
        placed.content_hash,
        _json(memory.tags),
        memory.source,
        memory.importance,
        memory.importance < terms.gating_threshold,
        terms.first_tier(ttl),
        terms.archive_at(now),
        terms.retention_expires_at(now),
        None if ttl is None else now + ttl,
    )


def _supersede(connection: Connection, new: list[_Placed], now: datetime) -> None:
    pairs = [(placed.replaces.id, placed.id) for placed in new if placed.replaces is not None]
    if pairs:
        old_ids, new_ids = (list(ids) for ids in zip(*pairs, strict=True))
        connection.execute(sql.SUPERSEDE, {"old_ids": old_ids, "new_ids": new_ids, "now": now})


def _tell(connection: Connection, new: list[_Placed], now: datetime, by: str) -> None:
    """In the order in which it happened: a memory is created, then the one before it is superseded."""
    rows: list[_Event] = []
    events: list[WebhookEvent] = []
    for placed, memory in zip(new, _memories(new), strict=True):
        rows.append(_Event(placed.id, memory.tenant_id, "memory.created", by, "{}"))
        events.append(_webhook_event(memory, "memory.created", placed.id))
        if placed.replaces is not None:
            old, change = placed.replaces.id, {"superseded_by": placed.id}
            rows.append(_Event(old, memory.tenant_id, "memory.superseded", by, _json(change)))
            events.append(_webhook_event(memory, "memory.superseded", old, **change))
    _keep_events(connection, rows, now)
    emit(connection, events)


def _webhook_event(memory: NewMemory, event_type: str, memory_id: int, **more: int) -> WebhookEvent:
    data = {
        "memory_id": memory_id,
        "user_id": str(memory.user_id),
        "environment": memory.environment,
        "type": memory.extracted_type,
        "key": memory.extracted_key,
        "source": memory.source,
        **more,
    }
    return WebhookEvent(memory.tenant_id, event_type, data, str(memory_id), memory.project_id)


def _promotion(row: Any) -> _Event:  # noqa: ANN401 - a row of RECALL
    change = _json({"from": row.tier_before, "to": row.tier})
    return _Event(row.id, row.tenant_id, "memory.tier_changed", "recall", change)


def _keep_events(connection: Connection, events: list[_Event], now: datetime) -> None:
    if events:
        connection.execute(sql.EVENTS, {**_columns(_Event._fields, events), "now": now})


def _columns(names: Sequence[str], rows: Iterable[tuple[object, ...]]) -> dict[str, list[object]]:
    """The rows as one array for each column."""
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
