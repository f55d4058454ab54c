"""The SQL that writes a batch; lists of rows go in as one JSON parameter, so each statement is a constant."""

from __future__ import annotations

from sqlalchemy import text

# The planner knows nothing of the staging table: it is told to look each uuid up in the index, and not to compile.
# Texts are kept there as they come (`external`): compressing them is the work of the table they go to.
PREPARE = """
set local jit = off;
set local enable_hashjoin = off;
set local enable_mergejoin = off;
set local work_mem = '32MB';
create temporary table if not exists sessions_staging (
    ordinal integer, session_id bigint, last_sequence integer, source text, uuid uuid, type text,
    timestamp timestamptz, model text, tool_name text, tool_call_id text,
    content_text text storage external, content_full text storage external, raw text storage external
) on commit delete rows;
delete from sessions_staging
"""

COPY = "copy sessions_staging from stdin"

REVISE = text("""
update sessions.messages m
set content_text = n.content_text, content_full = n.content_full, raw = n.raw, model = n.model, vector_indexed = 0
from sessions_staging n
where m.uuid = n.uuid and m.session_id = n.session_id and m.content_full is distinct from n.content_full
""")

INSERT = text("""
with added as (
    insert into sessions.messages (session_id, sequence, uuid, type, timestamp, source, model, tool_name, tool_call_id,
        content_text, content_full, raw)
    select session_id, last_sequence + row_number() over (partition by session_id order by ordinal), uuid, type,
        timestamp, source, model, tool_name, tool_call_id, content_text, content_full, raw
    from sessions_staging n
    where not exists (select from sessions.messages m where m.uuid = n.uuid)
    on conflict (uuid) do nothing
    returning session_id, timestamp
), by_session as (
    select session_id, count(*) as messages, max(timestamp) as latest from added group by session_id
)
update sessions.sessions s
set message_count = s.message_count + a.messages, last_message_at = greatest(s.last_message_at, a.latest)
from by_session a where s.id = a.session_id
returning s.id, a.messages
""")

PROJECTS = text("""
insert into sessions.projects as p (path, name, source, encoded_dir_name, repo_url)
select path, name, source, folder, repo_url
from jsonb_to_recordset(cast(:rows as jsonb)) as r(path text, name text, source text, folder text, repo_url text)
on conflict (path) do update
set encoded_dir_name = coalesce(p.encoded_dir_name, excluded.encoded_dir_name),
    repo_url = coalesce(excluded.repo_url, p.repo_url)
where (p.encoded_dir_name is null and excluded.encoded_dir_name is not null)
   or p.repo_url is distinct from coalesce(excluded.repo_url, p.repo_url)
""")

SESSIONS = text("""
insert into sessions.sessions as s (session_id, project_id, source, session_type, channel, cwd, model, meta)
select r.session_id, p.id, r.source, r.session_type, r.channel, r.cwd, r.model, r.meta
from jsonb_to_recordset(cast(:rows as jsonb)) as r(session_id text, project text, source text, session_type text,
    channel text, cwd text, model text, meta jsonb)
join sessions.projects p on p.path = r.project
on conflict (session_id) do update
set project_id = case when s.cwd is null and excluded.cwd is not null then excluded.project_id else s.project_id end,
    cwd = coalesce(s.cwd, excluded.cwd), channel = coalesce(s.channel, excluded.channel),
    model = coalesce(excluded.model, s.model), meta = s.meta || excluded.meta
returning s.session_id, s.id,
    (select coalesce(max(m.sequence), 0) from sessions.messages m where m.session_id = s.id) as last_sequence
""")

RELATIONS = text("""
insert into sessions.session_relations (parent_session_id, child_session_id)
select parent, child from jsonb_to_recordset(cast(:rows as jsonb)) as r(parent text, child text)
on conflict do nothing
""")

CONTINUATIONS = text("""
insert into sessions.continuation_chains (session_id, continued_from)
select session_id, continued_from
from jsonb_to_recordset(cast(:rows as jsonb)) as r(session_id text, continued_from text)
on conflict do nothing
""")

FILES = text("""
insert into sessions.files (path, source, inode, size, mtime_ns, byte_offset, anchor, skipping, parser_state)
select path, source, inode, size, mtime_ns, byte_offset, anchor, skipping, parser_state
from jsonb_to_recordset(cast(:rows as jsonb)) as r(path text, source text, inode bigint, size bigint, mtime_ns bigint,
    byte_offset bigint, anchor text, skipping boolean, parser_state text)
on conflict (path) do update
set source = excluded.source, inode = excluded.inode, size = excluded.size, mtime_ns = excluded.mtime_ns,
    byte_offset = excluded.byte_offset, anchor = excluded.anchor, skipping = excluded.skipping,
    parser_state = excluded.parser_state, updated_at = now()
""")

STATES = text("""
select source, path, inode, size, mtime_ns, byte_offset, anchor, skipping, parser_state from sessions.files
""")

FORGET = text("delete from sessions.files where path = any(:keys)")
