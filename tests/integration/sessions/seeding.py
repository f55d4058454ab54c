"""Messages put straight into the tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import insert, select

from actors.sessions.tables import messages, projects, sessions
from callboard import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence


def add_messages(texts: Sequence[str], *, kind: str = "assistant") -> list[int]:
    """Insert messages of a session of their own, and return their ids in order."""
    with transaction() as connection:
        number = connection.execute(select(sessions.c.id)).rowcount
        project = _insert(connection, projects, path=f"/p{number}", name=f"p{number}", source="claude")
        session = _insert(connection, sessions, session_id=f"s{number}", project_id=project, source="claude")
        return [
            _insert(
                connection,
                messages,
                uuid=UUID(int=number << 64 | sequence),
                session_id=session,
                sequence=sequence,
                timestamp=datetime(2026, 3, 10, 12, tzinfo=UTC),
                type=kind,
                source="claude",
                content_text=text,
                content_full=text,
            )
            for sequence, text in enumerate(texts, start=1)
        ]


def _insert(connection: Any, table: Any, **values: object) -> int:  # noqa: ANN401 - any table
    (key,) = connection.execute(insert(table).values(**values)).inserted_primary_key
    return int(key)


def states() -> list[int]:
    """`vector_indexed` of all messages, by id."""
    with transaction() as connection:
        return list(connection.scalars(select(messages.c.vector_indexed).order_by(messages.c.id)))
