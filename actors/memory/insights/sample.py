"""What a snapshot is made of: a sample whose size does not grow with the tenant.

The union of the most important memories, the newest, and the most important of each kind. Its hash is over the ids and
texts of what is in it, not over recalls, which change every day: the same memories give the same insights.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from actors.memory.notes import Note, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from sqlalchemy import Connection, Row

    from actors.memory.settings import MemorySettings
    from actors.memory.texts import Keyring

_DAYS = 30  # of recalls and events
# By an array of ids: for a join it would guess that half of all memories are chosen, and read them all once more.
_SAMPLE = text("""
with owners as materialized (
    select id from memory.users
    where tenant_id = :tenant_id and deleted_at is null and (cast(:user_id as uuid) is null or id = :user_id)
), base as materialized (
    select m.id, m.importance, m.created_at, m.extracted_type
    from memory.memories m join owners on owners.id = m.user_id
    where m.retention_status = 'active' and m.superseded_by is null and not m.gated
      and (m.expires_at is null or m.expires_at > :now)
), by_kind as (
    select id, row_number() over (partition by extracted_type order by importance desc, id desc) as place from base
), chosen as (
    (select id from base order by importance desc, id desc limit :top)
    union (select id from base order by created_at desc, id desc limit :recent)
    union (select id from by_kind where place <= :per_kind)
)
select m.id, m.user_id, m.text_ciphertext, m.content_hash, m.extracted_type, m.created_at,
    (select count(*) from memory.recalls r where r.memory_id = m.id and r.recalled_at > :since) as recalls
from memory.memories m where m.id = any(array(select id from chosen)) order by m.id
""")
_EVENTS = text("""
select event_type, count(*) as times from memory.memory_events
where memory_id = any(:ids) and created_at > :since group by 1 order by 1
""")


class Owner(NamedTuple):
    """Whose insights: a user's, or with no user the whole tenant's."""

    tenant_id: UUID
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Memories, oldest first, and the events of the last 30 days that concern them."""

    rows: list[Row[Any]]
    events: dict[str, int]

    @property
    def hash(self) -> str:
        """The same for the same memories."""
        return sha256(",".join(f"{row.id}:{row.content_hash}" for row in self.rows).encode()).hexdigest()

    @property
    def users(self) -> set[UUID]:
        """Whose keys are needed to read it."""
        return {row.user_id for row in self.rows}

    @property
    def commonest_kind(self) -> str:
        """The type that most of the memories have; of two, the first by name."""
        kinds: Iterable[str] = sorted(str(row.extracted_type) for row in self.rows)
        return Counter(kinds).most_common(1)[0][0]

    def prompt(self, keyring: Keyring, *, longest: int) -> str:
        """What the model is shown; empty if nothing can be read."""
        notes = [
            Note(
                row.user_id,
                bytes(row.text_ciphertext),
                row.created_at,
                f"({row.extracted_type}, {row.recalls} recalls) ",
            )
            for row in self.rows
        ]
        lines = lines_of(notes, keyring, longest=longest)
        events = [f"{name}: {times}" for name, times in self.events.items()]
        return "\n".join([*lines, "", "Events:", *events]) if lines else ""


def sample_of(connection: Connection, owner: Owner, settings: MemorySettings, now: datetime) -> Sample:
    """The sample as it is now.

    It reads all of the owner's memories, a few columns of each, and keeps few. Nothing of it grows in memory, here or
    in Postgres, which sorts beyond `work_mem` in temporary files: some 60 bytes a memory.
    """
    since = now - timedelta(days=_DAYS)
    rows = connection.execute(
        _SAMPLE,
        {
            **owner._asdict(),
            "now": now,
            "since": since,
            "top": settings.insights_top,
            "recent": settings.insights_recent,
            "per_kind": settings.insights_per_topic,
        },
    ).all()
    events = connection.execute(_EVENTS, {"ids": [row.id for row in rows], "since": since})
    return Sample(list(rows), {row.event_type: row.times for row in events})
