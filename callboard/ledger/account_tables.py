"""The tables of schema `board` that tell of people: who may do what, and who did what."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from callboard.ledger._schema import metadata, one_of, time

BOARD_ROLES = ("admin", "operator", "viewer")
TEAM_ROLES = ("owner", "admin", "member")

users = Table(
    "users",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("password_hash", Text, comment="argon2id; null: signs in by a link only"),
    Column("role", Text, comment="on the whole board; null: sees their teams only"),
    time("created_at", required=True),
    time("disabled_at"),
    time("last_sign_in_at"),
    one_of("role", BOARD_ROLES, "users_role"),
)
Index("users_email", func.lower(users.c.email), unique=True)

teams = Table(
    "teams",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    time("created_at", required=True),
    time("deleted_at"),
    Index("teams_slug", "slug", unique=True, postgresql_where=text("deleted_at is null")),
)

memberships = Table(
    "memberships",
    metadata,
    Column("team_id", UUID, ForeignKey(teams.c.id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", UUID, ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("role", Text, nullable=False),
    time("created_at", required=True),
    one_of("role", TEAM_ROLES, "memberships_role"),
    Index("memberships_user", "user_id"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("team_id", UUID, ForeignKey(teams.c.id), nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    time("created_at", required=True),
    time("deleted_at"),
    Index("projects_slug", "team_id", "slug", unique=True, postgresql_where=text("deleted_at is null")),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("team_id", UUID, ForeignKey(teams.c.id), comment="null: it acts on the whole board"),
    Column("user_id", UUID, ForeignKey(users.c.id), nullable=False, comment="whose it is: it may do no more than they"),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, comment="the first characters, by which people tell keys apart"),
    Column("key_hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the key, which is random"),
    Column("scopes", ARRAY(Text), nullable=False),
    time("created_at", required=True),
    time("expires_at"),
    time("revoked_at"),
    time("last_used_at"),
    Index("api_keys_user", "user_id"),
    Index("api_keys_team", "team_id", postgresql_where=text("team_id is not null")),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="SHA-256 of what the cookie holds"),
    Column("user_id", UUID, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    time("created_at", required=True),
    time("expires_at", required=True),
    time("last_seen_at", required=True),
    Column("ip", Text),
    Column("agent", Text),
    Index("sign_ins_user", "user_id"),
    Index("sign_ins_expires_at", "expires_at"),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", UUID, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    time("created_at", required=True),
    time("expires_at", required=True),
    time("used_at"),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("email", Text, nullable=False),
    Column("ip", Text, nullable=False),
    time("at", required=True),
    Index("sign_in_failures_at", "at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    time("at", required=True),
    Column("who", Text, nullable=False, comment="cli:anna, manual:user:<id>, manual:api_key:<id>, schedule"),
    Column("action", Text, nullable=False, comment="e.g. dead_letter.replay"),
    Column("resource_type", Text, nullable=False),
    Column("resource_id", Text, nullable=False),
    Column("team_id", UUID),
    Column("why", Text, nullable=False, server_default=""),
    Column("ip", Text),
    Column("agent", Text),
    Column("detail", JSONB, comment="redacted"),
    Index("audit_at", "at", "id"),
    Index("audit_team", "team_id", "at", "id", postgresql_where=text("team_id is not null")),
    Index("audit_who", "who", "at", "id"),
    Index("audit_resource", "resource_type", "resource_id"),
)
