"""Whether a candidate says what a memory of its user says already: by the cosine of their vectors."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.budget import BudgetSpent
from actors.memory.clients.model import InputRefused, fails_for_all
from actors.memory.settings import get_memory_settings
from actors.memory.vectors import Scope, nearest
from callboard import AuthenticationError, PermanentError, TransientError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection

    from actors.memory.capture.queue import Pending
    from actors.memory.capture.sorting import Opened
    from actors.memory.clients.model import Model

_NEIGHBOURS = 20
# Where the candidate would supersede a memory it has no twin: nearly the same words are news if a number changed, and
# what its key said until now must not stay because another key says the new as well.
_TWIN = text("""
select id from memory.memories
where id = any(:ids) and not (extracted_type = :category and extracted_key = :key)
  and not exists (
    select from memory.memories c
    where c.user_id = :user_id and c.extracted_key = :key and c.extracted_type = :category
      and c.environment = :environment and c.project_id is not distinct from cast(:project_id as uuid)
      and c.end_user_id is null and c.retention_status = 'active' and c.superseded_by is null and not c.is_summary)
order by array_position(cast(:ids as bigint[]), id) limit 1
""")


class Embedder:
    """Asks the model for the vectors of one run's candidates; `failure` is the first of its failures, if it failed."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._stopped = False
        self.failure: Exception | None = None

    def embed(self, worthy: Iterable[Opened]) -> tuple[dict[int, array[float]], set[int]]:
        """Vectors by candidate, and those that must wait until the model works again.

        In neither are a gated one, which gets no vector, and one that the model refuses or its tenant cannot pay for:
        they are decided on without.
        """
        vectors: dict[int, array[float]] = {}
        waiting: set[int] = set()
        of_tenant: dict[UUID, list[Opened]] = defaultdict(list)
        for opened in worthy:
            if not opened.gated:
                of_tenant[opened.candidate.tenant_id].append(opened)
        for tenant, group in of_tenant.items():
            found = self._embed(tenant, group)
            if found is None:
                waiting |= {opened.candidate.id for opened in group}
            else:
                vectors |= found
        return vectors, waiting

    def _embed(self, tenant: UUID, group: Sequence[Opened]) -> dict[int, array[float]] | None:
        if self._stopped:
            return None
        try:
            vectors = self._model.embed([opened.content for opened in group], tenant_id=tenant)
        except BudgetSpent:
            return {}
        except InputRefused:
            return self._embed_halves(tenant, group)
        except (TransientError, PermanentError, AuthenticationError) as error:
            self.failure = self.failure or error
            self._stopped = fails_for_all(error)
            return None
        return {opened.candidate.id: vector for opened, vector in zip(group, vectors, strict=True)}

    def _embed_halves(self, tenant: UUID, group: Sequence[Opened]) -> dict[int, array[float]] | None:
        if len(group) == 1:
            return {}
        middle = len(group) // 2
        halves = [self._embed(tenant, half) for half in (group[:middle], group[middle:])]
        return None if None in halves else {key: vector for half in halves if half for key, vector in half.items()}


def twin_of(connection: Connection, candidate: Pending, vector: array[float]) -> int | None:
    """The nearest memory of the candidate's user, project and environment that says the same under another key.

    None if its own key has a memory.
    """
    scope = Scope(candidate.user_id, candidate.project_id, candidate.environment)
    least = get_memory_settings().capture_redundant_similarity
    alike = [number for number, cosine in nearest(connection, scope, vector, _NEIGHBOURS) if cosine >= least]
    if not alike:
        return None
    given = {"ids": alike, "category": candidate.category, "key": candidate.extracted_key}
    found: int | None = connection.scalar(_TWIN, given | scope._asdict())
    return found
