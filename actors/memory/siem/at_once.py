"""Rows of high severity do not wait for the next tick: the transaction that writes them asks for the forwarding.

What leaves after the commit is which destination has something to get, never a row: the run reads from the cursor on,
so that order is kept. If one is on its way already, or dies, the tick makes up for it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from actors.memory.settings import get_memory_settings
from actors.memory.siem.forward import siem_forward_batch
from callboard import DuplicateRun, outbox

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from uuid import UUID

    from sqlalchemy import Connection

#: The category whose severity is high; see documents.py.
URGENT = "security"
# In the order of their claims, so that two who ask for the same ones wait for one another instead of forever.
_WANTING = text("""
select d.id from memory.siem_destinations d
where d.tenant_id = any(:tenants) and d.active and :category = any(d.categories)
  and not exists (select from memory.siem_dead_letters l where l.destination_id = d.id and l.resolved_at is null)
order by d.id
""").bindparams(bindparam("tenants", type_=ARRAY(Uuid)))


def forward_at_once(connection: Connection, tenants: AbstractSet[UUID]) -> None:
    """Have what these tenants' destinations have not got forwarded to them, if the caller's transaction commits."""
    if not tenants or not get_memory_settings().siem_enabled:
        return
    for name in connection.scalars(_WANTING, {"tenants": sorted(tenants), "category": URGENT}).all():
        with suppress(DuplicateRun):
            outbox.send(connection, siem_forward_batch, destination=str(name))
