"""Who works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from callboard.ledger import workers

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """One worker process.

    `shown` is its state as people should read it: `silent` when its lease is over, whatever its row still says.
    """

    id: UUID
    host: str
    pid: int
    version: str
    queues: list[str]
    threads: int
    busy: int
    state: str
    shown: str
    started_at: datetime
    heartbeat_at: datetime
    lease_until: datetime


def listing(connection: Connection, *, now: datetime, everything: bool = False) -> list[WorkerView]:
    """Workers that live, oldest first; with `everything` also those that ended within the last day."""
    views = []
    for row in workers.listing(connection, everything=everything):
        silent = row["state"] in ("alive", "draining") and row["lease_until"] < now
        shared = {name: row[name] for name in WorkerView.__slots__ if name != "shown"}
        views.append(WorkerView(**shared, shown="silent" if silent else row["state"]))
    return views
