"""Tenants, users and memories put straight into the tables, with texts that can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import insert, text

from actors.memory.tables import memories, tenant_settings, tenants, users
from actors.memory.texts import Keyring
from callboard import transaction
from callboard.ledger import database

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A fixed "now" for tests that set the clock.
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def add_tenant(*, name: str = "Acme", **settings: object) -> UUID:
    """A tenant; `settings` are columns of `tenant_settings`."""
    tenant = uuid4()
    with transaction() as connection:
        connection.execute(insert(tenants), {"id": tenant, "name": name})
        connection.execute(insert(tenant_settings), {"tenant_id": tenant, **settings})
    return tenant


def add_user(tenant: UUID, **columns: object) -> UUID:
    """A user of the tenant, without a data key as yet."""
    user = uuid4()
    with transaction() as connection:
        connection.execute(
            insert(users), {"id": user, "tenant_id": tenant, "email": f"{user.hex[:8]}@example.com", **columns}
        )
    return user


def add_memories(tenant: UUID, user: UUID, texts: Sequence[str], **columns: object) -> list[int]:
    """Active memories of one cluster, unless `columns` say otherwise; their ids in order."""
    given: dict[str, Any] = {
        "extracted_type": "FACT",
        "extracted_key": "drink",
        "created_at": NOW,
        "updated_at": NOW,
        "tier_changed_at": NOW,
        **columns,
    }
    with transaction() as connection:
        keyring = Keyring.of(connection, [user])
        rows = [
            {
                "tenant_id": tenant,
                "user_id": user,
                "text_ciphertext": keyring.encrypt(user, words),
                "content_hash": keyring.hash(user, words),
                **given,
            }
            for words in texts
        ]
        statement = insert(memories).returning(memories.c.id, sort_by_parameter_order=True)
        return list(connection.scalars(statement, rows))


def rows_of(sql: str, **given: object) -> list[dict[str, Any]]:
    """Rows of a query, each as a dictionary."""
    with transaction() as connection:
        return [dict(row) for row in connection.execute(text(sql), given).mappings()]


def value_of(sql: str, **given: object) -> Any:  # noqa: ANN401 - whatever the column holds
    """The only value of a query."""
    with transaction() as connection:
        return connection.execute(text(sql), given).scalar_one()


def set_timezone(name: str) -> None:
    """Have every new session of the database speak of times in this zone."""
    with transaction() as connection:
        database_name = connection.engine.url.database
        connection.execute(text(f"alter database {database_name} set timezone to '{name}'"))
    database.dispose()
