"""Clusters, and whether their summaries say what their members say.

Members are memories in use or in the archive, superseded ones too: they are how the subject came to be what it is. A
first summary takes enough of those in use.
A summary is up to date as long as its `cluster_hash` is that of the members: SHA-256 over their ids, the hashes of
their texts and what superseded them. Scores, tiers and recalls are not in it: they change nothing in a summary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import UUID

import orjson
from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from callboard import PermanentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection

_STANDINGS = """
select m.tenant_id, m.user_id, m.project_id, m.environment, m.extracted_type, m.extracted_key,
    count(*) filter (where not m.is_summary) as members,
    encode(sha256(convert_to(string_agg(
        m.id || ':' || m.content_hash || ':' || coalesce(m.superseded_by, 0), ',' order by m.id
    ) filter (where not m.is_summary), 'UTF8')), 'hex') as members_hash,
    coalesce(bool_or(m.is_summary), false) as has_summary,
    max(m.cluster_hash) filter (where m.is_summary) as summary_hash
from memory.memories m left join memory.tenant_settings s on s.tenant_id = m.tenant_id
"""
_LIVING = """
where m.retention_status in ('active', 'archived') and not (m.is_summary and m.retention_status = 'archived')
  and not m.gated and (m.expires_at is null or m.expires_at > :now)
"""
_WORTHY = """
group by 1, 2, 3, 4, 5, 6
having case when bool_or(m.is_summary) then count(*) filter (where not m.is_summary) > 0
    else count(*) filter (where m.retention_status = 'active') >= coalesce(max(s.summary_min_cluster_size), :least) end
order by m.user_id, m.extracted_type, m.extracted_key, m.environment, m.project_id
"""
_THE_USERS = " and m.user_id = any(:users) "
_THE_CLUSTER = """
  and m.user_id = :user_id and m.extracted_key = :extracted_key and m.extracted_type = :extracted_type
  and m.environment = :environment and m.project_id is not distinct from cast(:project_id as uuid)
"""
_ASKED = """
with asked as materialized (
    select distinct user_id, project_id, environment, extracted_type, extracted_key
    from memory.memories where id = any(:ids)
)
"""
_ARE_ASKED = """
join asked a on a.user_id = m.user_id and a.extracted_key = m.extracted_key and a.extracted_type = m.extracted_type
    and a.environment = m.environment and a.project_id is not distinct from m.project_id
"""
_OF_USERS = text(_STANDINGS + _LIVING + _THE_USERS + _WORTHY).bindparams(bindparam("users", type_=ARRAY(Uuid)))
_OF_ONE = text(_STANDINGS + _LIVING + _THE_CLUSTER + _WORTHY)
_OF_MEMORIES = text(_ASKED + _STANDINGS + _ARE_ASKED + _LIVING + _WORTHY)
# What it says of them is to be forgotten too; the retention job takes the steps.
_END_ORPHANS = text("""
update memory.memories s set retention_expires_at = :now
where s.user_id = any(:users) and s.is_summary and s.retention_status = 'active'
  and (s.retention_expires_at is null or s.retention_expires_at > :now)
  and not exists (
    select from memory.memories m
    where m.user_id = s.user_id and m.extracted_key = s.extracted_key and m.extracted_type = s.extracted_type
      and m.environment = s.environment and m.project_id is not distinct from s.project_id
      and m.retention_status in ('active', 'archived') and not m.is_summary)
""").bindparams(bindparam("users", type_=ARRAY(Uuid)))


class Cluster(NamedTuple):
    """What the members of a cluster have in common; the fields are columns of `memories`."""

    tenant_id: UUID
    user_id: UUID
    project_id: UUID | None
    environment: str
    extracted_type: str
    extracted_key: str

    def __str__(self) -> str:
        """As an argument of a job: JSON, in the order of the fields."""
        return orjson.dumps(tuple(self)).decode()

    @classmethod
    def parse(cls, given: str) -> Self:
        """The cluster that `str` made the text of.

        Raises:
            PermanentError: It is none.
        """
        try:
            tenant, user, project, *words = orjson.loads(given)
            return cls(UUID(tenant), UUID(user), UUID(project) if project else None, *map(str, words))
        except (ValueError, TypeError):
            raise PermanentError(
                f"cluster {given!r} must be a JSON list of tenant, user, project or null, environment, type and key."
            ) from None


class Standing(NamedTuple):
    """A cluster that is worth a summary: enough members, or a summary already."""

    cluster: Cluster
    members: int
    members_hash: str
    has_summary: bool
    summary_hash: str | None

    @property
    def is_current(self) -> bool:
        """Whether the summary says what the members say."""
        return self.has_summary and self.summary_hash == self.members_hash


def standings(connection: Connection, user_ids: Sequence[UUID], *, least: int, now: datetime) -> list[Standing]:
    """All clusters of these users that are worth a summary; `least` members make one where the tenant says nothing."""
    found = connection.execute(_OF_USERS, {"users": list(user_ids), "least": least, "now": now})
    return [_standing(row) for row in found]


def end_orphans(connection: Connection, user_ids: Sequence[UUID], *, now: datetime) -> int:
    """Let the time of summaries end whose members were all deleted; how many there were."""
    return connection.execute(_END_ORPHANS, {"users": list(user_ids), "now": now}).rowcount


def standing_of(connection: Connection, cluster: Cluster, *, least: int, now: datetime) -> Standing | None:
    """How one cluster stands; None if it is not worth a summary."""
    given = {**cluster._asdict(), "least": least, "now": now}
    row = connection.execute(_OF_ONE, given).one_or_none()
    return None if row is None else _standing(row)


def standings_around(connection: Connection, memory_ids: Sequence[int], *, least: int, now: datetime) -> list[Standing]:
    """How the clusters of these memories stand that are worth a summary."""
    found = connection.execute(_OF_MEMORIES, {"ids": list(memory_ids), "least": least, "now": now})
    return [_standing(row) for row in found]


def _standing(row: Sequence[Any]) -> Standing:
    return Standing(Cluster(*row[: len(Cluster._fields)]), *row[len(Cluster._fields) :])
