"""The statements of writing.py; every one takes a whole list, as arrays of equal length."""

from __future__ import annotations

from sqlalchemy import text

# Lateral, one slot after another by the index of the user's keys: a join would be planned by statistics, which know
# nothing of a table that has just been filled, and might read all of it.
CURRENT = text("""
select m.id, m.content_hash, s.*
from unnest(cast(:user_id as uuid[]), cast(:project_id as uuid[]), cast(:environment as text[]),
            cast(:end_user_id as text[]), cast(:extracted_type as text[]), cast(:extracted_key as text[]))
     as s(user_id, project_id, environment, end_user_id, extracted_type, extracted_key)
cross join lateral (
    select c.id, c.content_hash from memory.memories c
    where c.user_id = s.user_id and c.extracted_key = s.extracted_key and c.extracted_type = s.extracted_type
      and c.environment = s.environment and c.project_id is not distinct from s.project_id
      and c.end_user_id is not distinct from s.end_user_id
      and c.retention_status = 'active' and c.superseded_by is null and not c.is_summary
      and (c.expires_at is null or c.expires_at > :now)
    order by c.id desc limit 1
) m
""")

# Numbered beforehand, so that it is certain which row has which id.
NUMBERS = text(
    "select nextval(pg_get_serial_sequence('memory.memories', 'id')) from generate_series(1, cast(:count as int))"
)

INSERT = text("""
insert into memory.memories (
    id, tenant_id, user_id, project_id, environment, end_user_id, text_ciphertext, content_hash, extracted_type,
    extracted_key, tags, source, importance, importance_score, gated, created_at, updated_at, tier, tier_changed_at,
    archive_at, retention_expires_at, expires_at)
select id, tenant_id, user_id, project_id, environment, end_user_id, text_ciphertext, content_hash, extracted_type,
    extracted_key, array(select jsonb_array_elements_text(cast(tags as jsonb))), source, importance,
    round(importance * 100), gated, :now, :now, tier, :now, archive_at, retention_expires_at, expires_at
from unnest(
    cast(:id as bigint[]), cast(:tenant_id as uuid[]), cast(:user_id as uuid[]), cast(:project_id as uuid[]),
    cast(:environment as text[]), cast(:end_user_id as text[]), cast(:text_ciphertext as bytea[]),
    cast(:content_hash as text[]), cast(:extracted_type as text[]), cast(:extracted_key as text[]),
    cast(:tags as text[]), cast(:source as text[]), cast(:importance as real[]), cast(:gated as boolean[]),
    cast(:tier as text[]), cast(:archive_at as timestamptz[]), cast(:retention_expires_at as timestamptz[]),
    cast(:expires_at as timestamptz[])
) as n(id, tenant_id, user_id, project_id, environment, end_user_id, text_ciphertext, content_hash, extracted_type,
       extracted_key, tags, source, importance, gated, tier, archive_at, retention_expires_at, expires_at)
""")

# Locked in the order of the ids, as by the jobs that go through all memories, which would else wait for us and we for
# them.
SUPERSEDE = text("""
with held as materialized (
    select id from memory.memories where id = any(cast(:old_ids as bigint[])) order by id for no key update
)
update memory.memories m set superseded_by = n.new_id, updated_at = :now
from unnest(cast(:old_ids as bigint[]), cast(:new_ids as bigint[])) as n(old_id, new_id) join held on held.id = n.old_id
where m.id = n.old_id
""")

EVENTS = text("""
insert into memory.memory_events (memory_id, tenant_id, event_type, source, payload, created_at)
select memory_id, tenant_id, event_type, source, cast(payload as jsonb), :now
from unnest(cast(:memory_id as bigint[]), cast(:tenant_id as uuid[]), cast(:event_type as text[]),
            cast(:source as text[]), cast(:payload as text[]))
     as e(memory_id, tenant_id, event_type, source, payload)
""")

INSIGHTS_DUE = text("update memory.users set insights_dirty = true where id = any(:ids) and not insights_dirty")

# In the order of the ids, so that two who recall the same memories wait for one another instead of forever. Where the
# clock was set back, neither time is: tier_transition_job promotes what was recalled after it changed its tier.
RECALL = text("""
with asked as (
    select id, count(*) as times from unnest(cast(:ids as bigint[])) as a(id) group by id
), held as (
    select m.id, m.tier, asked.times from memory.memories m join asked using (id)
    where m.retention_status in ('active', 'archived') and (m.expires_at is null or m.expires_at > :now)
    order by m.id for no key update of m
), touched as (
    update memory.memories m
    set usage_count = m.usage_count + held.times, last_accessed_at = greatest(m.last_accessed_at, :now),
        decay_score = 1.0, tier = case held.tier when 'cold' then 'warm' else 'hot' end,
        tier_changed_at = case held.tier when 'hot' then m.tier_changed_at else greatest(m.last_accessed_at, :now) end
    from held where m.id = held.id
    returning m.id, m.tenant_id, m.user_id, m.project_id, m.environment, m.tier, held.tier as tier_before, held.times
), kept as (
    insert into memory.recalls (memory_id, tenant_id, user_id, recalled_at)
    select id, tenant_id, user_id, :now from touched, generate_series(1, touched.times)
    returning id, memory_id
)
select touched.*, array_agg(kept.id order by kept.id) as recall_ids
from touched join kept on kept.memory_id = touched.id
group by touched.id, touched.tenant_id, touched.user_id, touched.project_id, touched.environment, touched.tier,
         touched.tier_before, touched.times
order by touched.id
""")
