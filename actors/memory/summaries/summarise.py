"""One cluster's summary, from reading its members to the row, the vector and the news of it.

Nothing is written before the model has answered; then the row goes in with one compare-and-set on the hash of the
summary that was there, so that of two who work on the same cluster one writes. If the embedding fails, the summary is
kept without a vector, which `refresh_embeddings` makes up for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from actors.memory.notes import Note, lines_of
from actors.memory.prompts import prompt
from actors.memory.summaries.clusters import Cluster, Standing, standing_of
from actors.memory.terms import terms_of
from actors.memory.texts import Keyring, Unreadable
from actors.memory.vectors import VectorRow, store
from actors.memory.webhooks import WebhookEvent, emit
from callboard import PermanentError, TransientError, current_run, transaction

if TYPE_CHECKING:
    from array import array
    from datetime import datetime

    from sqlalchemy import Connection

    from actors.memory.clients.model import Model
    from actors.memory.settings import MemorySettings

_SOURCE = "auto_summarization_job"
# The newest, shown oldest first.
_MEMBERS = text("""
select * from (
    select id, user_id, text_ciphertext, created_at, superseded_by
    from memory.memories
    where user_id = :user_id and extracted_key = :extracted_key and extracted_type = :extracted_type
      and environment = :environment and project_id is not distinct from cast(:project_id as uuid)
      and retention_status in ('active', 'archived') and not is_summary and not gated
      and (expires_at is null or expires_at > :now)
    order by id desc limit :most
) newest order by id
""")
_MEMBER_FACTS = text("""
select array_agg(id order by id) as ids, max(importance) as importance, max(importance_score) as score
from memory.memories
where user_id = :user_id and extracted_key = :extracted_key and extracted_type = :extracted_type
  and environment = :environment and project_id is not distinct from cast(:project_id as uuid)
  and retention_status in ('active', 'archived') and not is_summary and not gated
  and (expires_at is null or expires_at > :now)
""")
_WRITE = text("""
insert into memory.memories as m (tenant_id, user_id, project_id, environment, extracted_type, extracted_key, source,
    text_ciphertext, content_hash, importance, importance_score, evidence_count, is_summary, parent_ids, cluster_hash,
    created_at, updated_at, tier_changed_at, archive_at, retention_expires_at)
values (:tenant_id, :user_id, :project_id, :environment, :extracted_type, :extracted_key, :source,
    :ciphertext, :content_hash, :importance, :score, cardinality(cast(:ids as bigint[])), true, :ids, :members_hash,
    :now, :now, :now, :archive_at, :retention_expires_at)
on conflict (user_id, coalesce(project_id, '00000000-0000-0000-0000-000000000000'::uuid), environment, extracted_type,
    extracted_key) where is_summary and retention_status = 'active'
do update set text_ciphertext = excluded.text_ciphertext, content_hash = excluded.content_hash,
    importance = excluded.importance, importance_score = excluded.importance_score,
    evidence_count = excluded.evidence_count, parent_ids = excluded.parent_ids, cluster_hash = excluded.cluster_hash,
    updated_at = excluded.updated_at, archive_at = excluded.archive_at,
    retention_expires_at = excluded.retention_expires_at
where m.cluster_hash is not distinct from :summary_hash
returning id, xmax = 0 as is_new
""")
_EVENT = text("""
insert into memory.memory_events (memory_id, tenant_id, event_type, source, payload, created_at)
values (:memory_id, :tenant_id, :event_type, :source, cast(:payload as jsonb), :now)
""")


class Summary(BaseModel):
    """What the model is asked for."""

    model_config = ConfigDict(extra="forbid")

    summary: str


class _Draft(NamedTuple):
    standing: Standing
    text: str
    vector: array[float] | None


def summarise(cluster: Cluster, model: Model, settings: MemorySettings, now: datetime) -> bool:
    """Make or refresh the summary of a cluster; False where there was nothing to do, or another was quicker.

    Raises:
        TransientError, PermanentError, AuthenticationError: See clients/model.py; nothing was written.
        Unreadable: No member can be read.
    """
    with transaction() as connection:
        standing = standing_of(connection, cluster, least=settings.summary_min_cluster_size, now=now)
        if standing is None or standing.is_current:
            return False
        lines = _lines(connection, cluster, settings, now)
    answer = model.chat(
        prompt("summary"), "\n".join(lines), schema=Summary, category="summary", tenant_id=cluster.tenant_id
    )
    draft = _Draft(standing, _checked(answer.summary, settings), None)
    draft = draft._replace(vector=_vector(draft.text, cluster, model))
    with transaction() as connection:
        return _write(connection, draft, now)


def _lines(connection: Connection, cluster: Cluster, settings: MemorySettings, now: datetime) -> list[str]:
    members = connection.execute(_MEMBERS, {**cluster._asdict(), "most": settings.summary_members, "now": now})
    notes = [
        Note(
            row.user_id,
            bytes(row.text_ciphertext),
            row.created_at,
            "" if row.superseded_by is None else "(superseded) ",
        )
        for row in members
    ]
    keyring = Keyring.of(connection, [cluster.user_id])
    lines = lines_of(notes, keyring, longest=settings.prompt_longest)
    if not lines:
        raise Unreadable(f"None of {len(notes)} memories of a cluster of user {cluster.user_id} can be read.")
    return lines


def _checked(summary: str, settings: MemorySettings) -> str:
    text = summary.strip()
    if not 0 < len(text) <= settings.summary_longest:
        raise TransientError(
            f"The language model's summary has {len(text)} characters, 1 to {settings.summary_longest} are allowed."
        )
    return text


def _vector(text: str, cluster: Cluster, model: Model) -> array[float] | None:
    try:
        return model.embed([text], tenant_id=cluster.tenant_id)[0]
    except (TransientError, PermanentError) as error:
        current_run().log.warning("summary.without_vector", error=str(error))
        return None


def _write(connection: Connection, draft: _Draft, now: datetime) -> bool:
    cluster = draft.standing.cluster
    keyring = Keyring.of(connection, [cluster.user_id])
    content_hash = keyring.hash(cluster.user_id, draft.text)
    terms = terms_of(connection, [cluster.tenant_id])[cluster.tenant_id]
    facts = connection.execute(_MEMBER_FACTS, {**cluster._asdict(), "now": now}).one()
    if facts.ids is None:  # all of them went away while the model was thinking
        return False
    row = connection.execute(
        _WRITE,
        {
            **cluster._asdict(),
            "source": _SOURCE,
            "ciphertext": keyring.encrypt(cluster.user_id, draft.text),
            "content_hash": content_hash,
            "ids": facts.ids,
            "importance": facts.importance,
            "score": facts.score,
            "members_hash": draft.standing.members_hash,
            "summary_hash": draft.standing.summary_hash,
            "archive_at": terms.archive_at(now),
            "retention_expires_at": terms.retention_expires_at(now),
            "now": now,
        },
    ).one_or_none()
    if row is None:
        return False
    if draft.vector is not None:
        store(connection, [VectorRow(row.id, content_hash, draft.vector)])
    _tell(connection, draft.standing, row.id, len(facts.ids), is_new=row.is_new, now=now)
    return True


def _tell(
    connection: Connection, standing: Standing, memory_id: int, members: int, *, is_new: bool, now: datetime
) -> None:
    cluster, event_type = standing.cluster, "memory.created" if is_new else "memory.updated"
    event = {
        "memory_id": memory_id,
        "tenant_id": cluster.tenant_id,
        "event_type": event_type,
        "source": _SOURCE,
        "payload": orjson.dumps({"summary_of": members}).decode(),
        "now": now,
    }
    connection.execute(_EVENT, event)
    data = {
        "memory_id": memory_id,
        "user_id": str(cluster.user_id),
        "environment": cluster.environment,
        "type": cluster.extracted_type,
        "key": cluster.extracted_key,
        "source": _SOURCE,
        "summary_of": members,
    }
    key = f"{memory_id}:{standing.members_hash}"
    emit(connection, [WebhookEvent(cluster.tenant_id, event_type, data, key, cluster.project_id)])
