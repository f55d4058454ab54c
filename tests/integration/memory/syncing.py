"""Connections to stand-ins, their sync jobs, and one attempt of a job without a broker."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import insert, update

from actors.memory.settings import get_memory_settings
from actors.memory.syncs.job import sync
from actors.memory.tables import connections, sync_jobs, tenants
from callboard import Run, seal, transaction
from tests.integration.memory.kit import NOW, add_tenant, add_user, rows_of

if TYPE_CHECKING:
    import pytest

    from sandbox.documents import DocumentStandIn

OPTIONS = {"github": {"repository": "acme/shop"}}


def add_connection(provider: str = "github", *, tenant: UUID | None = None, **columns: object) -> UUID:
    """An active connection with tokens that the stand-ins take."""
    owner = tenant or add_tenant()
    made = uuid4()
    row = {
        "id": made,
        "tenant_id": owner,
        "user_id": add_user(owner),
        "provider": provider,
        "access_token": seal(b"access-0"),
        "refresh_token": seal(b"refresh-0") if provider in ("google_drive", "onedrive") else None,
        "options": OPTIONS.get(provider, {}),
        **columns,
    }
    with transaction() as connection:
        connection.execute(insert(connections), row)
    return made


def add_job(connection_id: UUID, **columns: object) -> UUID:
    """A sync job of the connection, pending unless `columns` say otherwise."""
    (owner,) = rows_of("select tenant_id, cursor from memory.connections where id = :id", id=connection_id)
    kind = "FULL" if owner["cursor"] is None else "INCREMENTAL"
    made = uuid4()
    with transaction() as connection:
        row = {"id": made, "connection_id": connection_id, "type": kind, "created_at": NOW, **owner, **columns}
        connection.execute(insert(sync_jobs), row)
    return made


def attempt(job_id: UUID, *, now: datetime = NOW, **settings: object) -> Run:
    """One attempt of a job; what it raises goes on."""
    run = Run(job="run_sync_job")
    sync(job_id, run, get_memory_settings().model_copy(update=settings), lambda: now)
    return run


def synced(connection_id: UUID, *, now: datetime = NOW, **settings: object) -> dict[str, Any]:
    """A whole sync in one attempt, which must complete; its row."""
    made = add_job(connection_id, created_at=now)
    attempt(made, now=now, **settings)
    row = job_row(made)
    assert row["status"] == "COMPLETED", row
    return row


def job_row(job_id: UUID) -> dict[str, Any]:
    """The row of a sync job."""
    return rows_of("select * from memory.sync_jobs where id = :id", id=job_id)[0]


def connection_row(connection_id: UUID) -> dict[str, Any]:
    """The row of a connection."""
    return rows_of("select * from memory.connections where id = :id", id=connection_id)[0]


def cursor_of(connection_id: UUID) -> dict[str, Any] | None:
    """A connection's cursor, unpacked."""
    kept = connection_row(connection_id)["cursor"]
    return None if kept is None else json.loads(kept)


def objects(*columns: str) -> list[tuple[Any, ...]]:
    """What was brought, in the order it came."""
    rows = rows_of("select * from memory.external_objects order by id")
    return [tuple(row[name] for name in columns) for row in rows]


def set_tenant(tenant: UUID, **columns: object) -> None:
    """Change a tenant."""
    with transaction() as connection:
        connection.execute(update(tenants).where(tenants.c.id == tenant), columns)


def point_at(monkeypatch: pytest.MonkeyPatch, provider: str, stand_in: DocumentStandIn) -> None:
    """Have the catalogue speak to the stand-in, and wait for nothing longer than an instant."""
    prefix = f"CALLBOARD_MEMORY_{provider.upper()}"
    monkeypatch.setenv(f"{prefix}_URL", stand_in.url)
    oauth = f"CALLBOARD_MEMORY_{provider.removesuffix('_drive').upper()}"
    monkeypatch.setenv(f"{oauth}_TOKEN_URL", f"{stand_in.url}/token")
    monkeypatch.setenv(f"{oauth}_CLIENT_ID", "callboard")
    monkeypatch.setenv("CALLBOARD_MEMORY_SYNC_PATIENCE_SECONDS", "0")
    get_memory_settings.cache_clear()


def at(hour: int, minute: int = 0, *, days: int = 0) -> datetime:
    """A time of 10 March 2026, or some days later, in UTC."""
    return datetime(2026, 3, 10, hour, minute, tzinfo=UTC) + timedelta(days=days)
