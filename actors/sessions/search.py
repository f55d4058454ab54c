"""Messages by meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from actors.sessions.clients.ollama import OllamaClient
from actors.sessions.pending import DONE
from actors.sessions.settings import get_sessions_settings
from actors.sessions.tables import messages, sessions
from actors.sessions.vector_process import VectorProcess
from callboard import transaction

if TYPE_CHECKING:
    from uuid import UUID

    from actors.sessions.vectors import Hit


class Found(NamedTuple):
    """A message near a query; `distance` is 1 - cosine of its nearest chunk, which is `content`."""

    uuid: UUID
    session_id: str
    content: str
    distance: float


def search(query: str, limit: int = 10) -> list[Found]:
    """The messages nearest in meaning to `query`, best first; several chunks of one message count once.

    Raises:
        TransientError, PermanentError: Ollama cannot embed the query.
        VectorStoreError: LanceDB cannot search.
    """
    settings = get_sessions_settings()
    with OllamaClient.of(settings) as ollama, VectorProcess.of(settings) as store:
        hits = store.nearest(ollama.embed([query])[0], limit * 4)
    best: dict[int, Hit] = {}
    for hit in hits:
        best.setdefault(hit.message_id, hit)
    return _found(list(best.values()))[:limit]


def _found(hits: list[Hit]) -> list[Found]:
    """With what Postgres knows of the messages; what it does not call indexed is a vector of something else."""
    ids = [hit.message_id for hit in hits]
    query = select(messages.c.id, messages.c.uuid, sessions.c.session_id).join(
        sessions, messages.c.session_id == sessions.c.id
    )
    with transaction() as connection:
        rows = connection.execute(query.where(messages.c.id == func.any(ids), messages.c.vector_indexed == DONE)).all()
    known = {row.id: row for row in rows}
    return [
        Found(known[hit.message_id].uuid, known[hit.message_id].session_id, hit.content, hit.distance)
        for hit in hits
        if hit.message_id in known
    ]
