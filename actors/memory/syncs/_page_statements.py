"""The SQL that writes a page."""

from __future__ import annotations

from sqlalchemy import text

from actors.memory.tables.memories import NO_PROJECT

HOLD = text("""
select from memory.sync_jobs where id = :id and status = 'RUNNING' and starts = :starts and pages = :pages
for no key update
""")
ADVANCE = text("""
update memory.sync_jobs set cursor = :cursor, pages = pages + 1, read_to_end = :at_end,
    total_items = total_items + :total_items, processed_items = processed_items + :processed_items,
    failed_items = failed_items + :failed_items,
    candidates = candidates + :candidates, memories_deleted = memories_deleted + :memories_deleted
where id = :id
""")
ADD = text("""
update memory.sync_jobs
set candidates = candidates + :candidates, memories_deleted = memories_deleted + :memories_deleted where id = :id
""")
UPSERT = text("""
with came as (
    select * from jsonb_to_recordset(cast(:rows as jsonb))
        as r(source_object_id text, type text, url text, metadata jsonb, content_hash text)
), before as (
    select o.source_object_id, o.content_hash, o.deleted_at
    from memory.external_objects o join came using (source_object_id) where o.connection_id = :connection
), written as (
    insert into memory.external_objects as o
        (connection_id, source_object_id, type, url, metadata, content_hash, seen_at)
    select :connection, source_object_id, type, url, metadata, content_hash, :seen from came order by source_object_id
    on conflict (connection_id, source_object_id) do update
    set type = excluded.type, url = excluded.url, metadata = excluded.metadata, content_hash = excluded.content_hash,
        seen_at = greatest(o.seen_at, excluded.seen_at), deleted_at = null
    returning id, source_object_id, content_hash
)
select w.id, w.source_object_id, b.deleted_at is not null as is_back,
    case when b.deleted_at is null then b.content_hash end as said,
    b.content_hash is distinct from w.content_hash or b.deleted_at is not null as is_changed
from written w left join before b using (source_object_id)
""")
DELETE = text("""
update memory.external_objects set deleted_at = :now
where connection_id = :connection and source_object_id = any(:ids) and deleted_at is null returning id, content_hash
""")
UNSEEN = text("""
update memory.external_objects set deleted_at = :now where id in (
    select id from memory.external_objects
    where connection_id = :connection and seen_at < :since and deleted_at is null order by id limit :size
) returning id, content_hash
""")
# Locks are taken in the order of the capture queue: candidates, then users, then memories.
HOLD_CANDIDATES = text("""
select from memory.memory_candidates where source_object_id = any(:objects) and decision = 'pending'
order by id for no key update
""")
# Past its end a memory is found no more, and retention deletes it as any other, unless a legal hold keeps it. What a
# candidate merely repeated is the memory of something else.
END_MEMORIES = text("""
with held as materialized (
    select id from memory.memories m
    where m.retention_status in ('active', 'archived') and (m.expires_at is null or m.expires_at > :now) and exists (
        select from memory.memory_candidates c where c.source_object_id = any(:objects)
            and c.memory_id = m.id and c.extracted_key = m.extracted_key)
    order by id for no key update
)
update memory.memories m set expires_at = :now, deletion_method = 'user_request', updated_at = :now
from held where m.id = held.id returning m.id
""")
# What merely repeated a memory that ends is to be decided on again, if its object still says so.
REVIVE = text("""
update memory.memory_candidates c set decision = 'pending', memory_id = null, decided_at = null
from memory.external_objects o
where c.memory_id = any(:memories) and c.decision = 'discarded_redundant'
    and o.id = c.source_object_id and o.content_hash = c.source_input_hash and o.deleted_at is null
    and not exists (select from memory.memory_candidates n where n.source_object_id = o.id and n.id > c.id)
""")
# A text is proposed once, be it in ten objects: where that which it was proposed for is gone or says something else,
# the next one takes its place.
HEIRS = text("""
select distinct on (o.content_hash) o.id, o.source_object_id, c.category, c.content_ciphertext
from unnest(cast(:objects as bigint[]), cast(:hashes as text[])) as lost(id, content_hash)
join memory.memory_candidates c on c.source_object_id = lost.id and c.source_input_hash = lost.content_hash
    and c.decision in ('pending', 'created', 'discarded_redundant')
join memory.external_objects o on o.connection_id = :connection and o.content_hash = lost.content_hash
    and o.deleted_at is null
where not exists (
    select from memory.memory_candidates own where own.source_object_id = o.id
        and own.source_input_hash = o.content_hash and own.decision in ('pending', 'created', 'discarded_redundant'))
order by o.content_hash, o.id, c.id desc
""")
DROP_CANDIDATES = text("""
update memory.memory_candidates set decision = 'discarded_policy', content_ciphertext = '', decided_at = :now
where source_object_id = any(:objects) and decision = 'pending'
""")
# Objects that say what another said that is gone, or says something else, by now.
SUCCESSORS = text(f"""
select o.id from memory.external_objects o
where o.id = any(:objects) and exists (
    select from memory.memory_candidates c join memory.external_objects f on f.id = c.source_object_id
    where c.user_id = :user_id and coalesce(c.project_id, '{NO_PROJECT}') = coalesce(:project_id, '{NO_PROJECT}'::uuid)
        and c.environment = :environment and c.source_input_hash = o.content_hash
    having count(*) > 0 and bool_and(f.deleted_at is not null or f.content_hash <> o.content_hash))
""")  # noqa: S608 - a constant
