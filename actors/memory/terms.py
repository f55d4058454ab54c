"""What a tenant's settings mean for a memory at its birth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.tables import tenant_settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection

_COLUMNS = [tenant_settings.c[name] for name in ("gating_threshold", "archive_after_days", "archive_window_days")]


@dataclass(frozen=True, slots=True)
class Terms:
    """A tenant's rules, each from its settings or, where it sets none, from the catalogue's."""

    gating_threshold: float
    archive_after: timedelta
    archive_window: timedelta
    warm_ttl: timedelta
    cold_ttl: timedelta

    def archive_at(self, born: datetime) -> datetime | None:
        """When it is archived; None for a tenant without an archive."""
        return born + self.archive_after if self.archive_window else None

    def retention_expires_at(self, born: datetime) -> datetime:
        """When it is deleted softly."""
        return born + self.archive_after + self.archive_window

    def first_tier(self, ttl: timedelta | None) -> str:
        """What lives for a short time only does not take a place among the hot ones."""
        if ttl is None or ttl > self.warm_ttl:
            return "hot"
        return "warm" if ttl > self.cold_ttl else "cold"


def terms_of(connection: Connection, tenant_ids: Iterable[UUID]) -> dict[UUID, Terms]:
    """The terms of each of these tenants."""
    ids = set(tenant_ids)
    query = select(tenant_settings.c.tenant_id, *_COLUMNS).where(tenant_settings.c.tenant_id.in_(ids))
    own = {row.tenant_id: row for row in connection.execute(query)}
    settings = get_memory_settings()
    return {tenant: _terms(settings, own.get(tenant)) for tenant in ids}


def _terms(settings: MemorySettings, own: object) -> Terms:
    def chosen(name: str) -> float:
        value: float | None = getattr(own, name, None)
        return float(getattr(settings, name)) if value is None else value

    return Terms(
        gating_threshold=chosen("gating_threshold"),
        archive_after=timedelta(days=chosen("archive_after_days")),
        archive_window=timedelta(days=chosen("archive_window_days")),
        warm_ttl=timedelta(days=settings.warm_ttl_days),
        cold_ttl=timedelta(days=settings.cold_ttl_days),
    )
