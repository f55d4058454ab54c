"""Connections as operators make them: checked, and with their tokens sealed."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
from sqlalchemy import text

from actors.memory.settings import get_memory_settings
from actors.memory.tables._schema import ENVIRONMENTS
from actors.memory.tables.integrations import FREQUENCIES, PROVIDERS
from callboard import NotFound, PermanentError, seal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, time

    from sqlalchemy import Connection, RowMapping

#: Which token a person's consent leaves us with. That of GitHub and Notion is good until it is revoked; Google's and
#: Microsoft's buys access tokens of an hour each.
TOKENS = {
    "github": "access token",
    "notion": "access token",
    "google_drive": "refresh token",
    "onedrive": "refresh token",
}
_BY_TIME_OF_DAY = ("DAILY", "WEEKLY")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")

_ADD = text("""
insert into memory.connections (id, tenant_id, user_id, project_id, environment, provider, access_token, refresh_token,
    frequency, sync_at, options, next_scheduled_sync)
values (:id, :tenant_id, :user_id, :project_id, :environment, :provider, :access, :refresh,
    :frequency, :at, cast(:options as jsonb), case when :frequency <> 'MANUAL' then cast(:now as timestamptz) end)
""")
_DISABLE = text("update memory.connections set status = 'disabled' where id = :id")
_DUE_NOW = "next_scheduled_sync = case when frequency <> 'MANUAL' then cast(:now as timestamptz) end"
_ENABLE = text(f"update memory.connections set status = 'active', {_DUE_NOW} where id = :id")  # noqa: S608 - a constant
_NEW_TOKEN = text(f"""
update memory.connections set access_token = :access, refresh_token = :refresh, token_expires_at = null,
    status = case status when 'needs_reauth' then 'active' else status end, {_DUE_NOW}
where id = :id
""")  # noqa: S608 - a constant
# Tokens stay where they are.
_SHOWN = """
select c.id, c.tenant_id, t.name as tenant, c.user_id, u.email as user, c.project_id, c.environment, c.provider,
       c.status, c.options, c.frequency, c.sync_at, c.next_scheduled_sync, j.status as last_status,
       coalesce(j.completed_at, j.started_at, j.created_at) as last_sync_at, j.error as last_error, c.created_at
from memory.connections c join memory.tenants t on t.id = c.tenant_id join memory.users u on u.id = c.user_id
left join lateral (
    select * from memory.sync_jobs j where j.connection_id = c.id order by j.created_at desc limit 1
) j on true
"""
_NAMED = text(f"{_SHOWN} where c.id::text = lower(:word)")
_LIST = text(f"""
{_SHOWN} where (cast(:tenant as uuid) is null or c.tenant_id = :tenant)
order by t.name, u.email, c.provider, c.id limit :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnection:
    """What an operator says of a connection.

    Args:
        tenant_id: Whose it is.
        user_id: Whose memories are made of it.
        provider: One of `PROVIDERS`.
        repository: Of GitHub: owner/name.
        project_id: The memories belong to this project; None: to none.
        environment: The memories belong to this one.
        frequency: One of `FREQUENCIES`.
        at: The tenant's time of day of DAILY and WEEKLY syncs; None: that of the first one.
    """

    tenant_id: UUID
    user_id: UUID
    provider: str
    repository: str | None = None
    project_id: UUID | None = None
    environment: str = "production"
    frequency: str = "HOURLY"
    at: time | None = None


def add_connection(connection: Connection, new: NewConnection, token: str, *, now: datetime) -> UUID:
    """Connect a user with a provider; the first sync is due at once, unless it is MANUAL. Returns its id.

    Args:
        connection: In whose transaction.
        new: What there is to be said of it.
        token: The token that `TOKENS` names; kept sealed.
        now: The present.

    Raises:
        ValueError: A field does not fit; names it.
        PermanentError: There is no key to seal the token with, or the provider does not know this installation.
    """
    _check(new)
    made = uuid4()
    options = {} if new.repository is None else {"repository": new.repository}
    given = asdict(new) | {"id": made, "now": now, "options": orjson.dumps(options).decode()}
    connection.execute(_ADD, given | _sealed(new.provider, token))
    return made


def disable(connection: Connection, connection_id: UUID) -> None:
    """Sync it no more; what it brought stays, and so do its tokens and its place.

    Raises:
        NotFound: There is none of that id.
    """
    _one(connection, _DISABLE, connection_id)


def enable(connection: Connection, connection_id: UUID, *, now: datetime) -> None:
    """Sync it again, with the tokens that it has, from where it was left.

    Raises:
        NotFound: There is none of that id.
    """
    _one(connection, _ENABLE, connection_id, now=now)


def replace_token(connection: Connection, row: RowMapping, token: str, *, now: datetime) -> None:
    """Use another token for a connection as `named` gives it; one that needed it is active again.

    Raises:
        NotFound: It is there no more.
        ValueError, PermanentError: As `add_connection`.
    """
    _one(connection, _NEW_TOKEN, row["id"], now=now, **_sealed(row["provider"], token))


def named(connection: Connection, word: str) -> Sequence[RowMapping]:
    """The connection whose id a word is, with its last sync and without its tokens."""
    return connection.execute(_NAMED, {"word": word}).mappings().all()


def listing(connection: Connection, *, tenant: UUID | None = None, limit: int) -> Sequence[RowMapping]:
    """Connections by tenant and user, each as `named` gives it."""
    return connection.execute(_LIST, {"tenant": tenant, "limit": limit}).mappings().all()


def _one(connection: Connection, statement: Any, connection_id: UUID, **given: object) -> None:  # noqa: ANN401 - a statement
    if connection.execute(statement, {"id": connection_id, **given}).rowcount != 1:
        raise NotFound(f"There is no connection {connection_id}.")


def _sealed(provider: str, token: str) -> dict[str, bytes | None]:
    if not token.strip() or not token.isprintable():
        raise ValueError("token must be one line of text, as the provider gave it.")
    kept, is_access = seal(token.encode()), TOKENS[provider] == "access token"
    if not is_access:
        _require_client(provider)
    return {"access": kept if is_access else None, "refresh": None if is_access else kept}


def _require_client(provider: str) -> None:
    settings = get_memory_settings()
    known = {"google_drive": settings.google_client_id, "onedrive": settings.onedrive_client_id}
    if not known[provider]:
        prefix = f"CALLBOARD_MEMORY_{provider.removesuffix('_drive').upper()}"
        raise PermanentError(
            f"{prefix}_CLIENT_ID is not set, without which no token of {provider} is renewed; set it and "
            f"{prefix}_CLIENT_SECRET to the OAuth client that the refresh token was made for."
        )


def _check(new: NewConnection) -> None:
    for name, words in (("provider", PROVIDERS), ("frequency", FREQUENCIES), ("environment", ENVIRONMENTS)):
        if getattr(new, name) not in words:
            raise ValueError(f"{name}={getattr(new, name)!r} must be one of {', '.join(words)}.")
    if new.provider == "github" and not _REPOSITORY.fullmatch(new.repository or ""):
        raise ValueError(f"repository={new.repository!r} must be owner/name.")
    if new.provider != "github" and new.repository is not None:
        raise ValueError(
            f"repository={new.repository!r} is of github; of {new.provider} all that the token sees is read."
        )
    if new.at is not None and new.frequency not in _BY_TIME_OF_DAY:
        raise ValueError(f"at={new.at:%H:%M} is of DAILY and WEEKLY syncs; this one is {new.frequency}.")
