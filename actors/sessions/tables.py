"""Tables of the catalogue, in the Postgres schema `sessions`; vectors live in LanceDB, keyed by `messages.id`.

projects 1──n sessions 1──n messages. `files` is the incremental reader's memory. `session_relations` and
`continuation_chains` name sessions by their text id, without a foreign key: the other end may be collected later, or
never.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    schema="sessions",
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

#: `path` is the working folder; where a tool does not record one it is `<source>:<what it does record>`.
projects = Table(
    "projects",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("path", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("encoded_dir_name", Text),
    Column("repo_url", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)

#: `message_count` and `last_message_at` change in the transaction that inserts the messages, so they are never behind.
sessions = Table(
    "sessions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("session_id", Text, nullable=False, unique=True),
    Column("project_id", BigInteger, ForeignKey("sessions.projects.id"), nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("session_type", Text, nullable=False, server_default=text("'main'")),
    Column("channel", Text),
    Column("cwd", Text),
    Column("model", Text),
    Column("message_count", Integer, nullable=False, server_default=text("0")),
    Column("last_message_at", DateTime(timezone=True)),
    Column("meta", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    CheckConstraint("session_type IN ('main', 'subagent')", name="session_type"),
)

#: `content_text` is what was said, `content_full` adds tool calls, results and thinking, `raw` is the source's JSON.
#: `vector_indexed`: 0 pending, 1 done, -1 failed. `sequence` counts from 1 within a session, in order of collection.
messages = Table(
    "messages",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("uuid", Uuid, nullable=False, unique=True),
    Column("session_id", BigInteger, ForeignKey("sessions.sessions.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("vector_indexed", SmallInteger, nullable=False, server_default=text("0")),
    Column("timestamp", DateTime(timezone=True)),
    Column("type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("model", Text),
    Column("tool_name", Text),
    Column("tool_call_id", Text),
    Column("content_text", Text, nullable=False),
    Column("content_full", Text, nullable=False),
    Column("raw", Text),
    UniqueConstraint("session_id", "sequence"),
    CheckConstraint("type IN ('user', 'assistant', 'tool', 'system')", name="type"),
    CheckConstraint("vector_indexed IN (-1, 0, 1)", name="vector_indexed"),
)

Index(
    "messages_pending_idx",
    messages.c.id,
    postgresql_where=text("vector_indexed = 0 AND type = 'assistant'"),
)

session_relations = Table(
    "session_relations",
    metadata,
    Column("parent_session_id", Text, primary_key=True),
    Column("child_session_id", Text, primary_key=True),
    Column("relation", Text, nullable=False, server_default=text("'subagent'")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)

#: `continued_from` is the id in a `[continuation_from: <id>]` mark found in `session_id`.
continuation_chains = Table(
    "continuation_chains",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("continued_from", Text, primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)

#: What was read of each file, committed together with its messages. `byte_offset` is the end of the last whole line
#: taken, `anchor` a digest of the bytes just before it; `skipping` says that the offset lies inside an oversized line.
files = Table(
    "files",
    metadata,
    Column("path", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("byte_offset", BigInteger, nullable=False),
    Column("anchor", Text, nullable=False, server_default=text("''")),
    Column("skipping", Boolean, nullable=False, server_default=text("false")),
    Column("parser_state", Text, nullable=False, server_default=text("''")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
