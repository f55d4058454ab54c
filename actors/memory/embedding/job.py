"""The jobs `embedding_refresh`, for one memory, and `refresh_embeddings`, for all that nobody asked it for.

The second reads memories in the order of their ids, from where the last run stopped, and once a day from the first one
on: so what a full budget, an outage or a change of the model has left without a vector gets one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.budget import BudgetSpent
from actors.memory.clients.model import InputRefused, Model
from actors.memory.embedding.refresh import Lacking, embed, lacking_between, lacking_one
from actors.memory.growth import SETTLED, hold_watermark, move_watermark
from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.vectors import model_name
from callboard import Backoff, PermanentError, Run, cron, current_run, job, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection

_STRETCH = text(f"""
with next as (
    select r.id, {SETTLED} as settled from memory.memories r where r.id > :after order by r.id limit :most
)
select max(id) from next where id < coalesce((select min(id) from next where not settled), 9223372036854775807)
""")  # noqa: S608 - a constant


@job(
    "embedding_refresh",
    queue="intelligence",
    single_per="memory_id",
    retry=Backoff(max_retries=5, base=15, cap=900),
    time_limit=300,
    label="Embed a memory",
)
def embedding_refresh(memory_id: int) -> None:
    """Make a memory's vector, unless the one that is there is of its text."""
    run, settings = current_run(), get_memory_settings()
    run.count(embedded=0, skipped_unchanged=0)
    with transaction() as connection:
        wanted = lacking_one(connection, memory_id, settings)
    if not wanted:
        run.count(skipped_unchanged=1)
        return
    with Model.of(settings) as model:
        try:
            run.count(embedded=embed(wanted, model))
        except BudgetSpent as error:  # the daily pass comes back to it
            run.note(budget=str(error))


@job(
    "refresh_embeddings",
    queue="intelligence",
    cadence=cron("*/5 * * * *"),
    retry=Backoff(max_retries=3, base=60, cap=900),
    time_limit=3600,
    label="Embed memories",
)
def refresh_embeddings() -> None:
    """Make vectors for memories that have none."""
    run, settings = current_run(), get_memory_settings()
    run.count(scanned=0, embedded=0, failed=0, budget_skipped=0)
    with Model.of(settings) as model:
        _Pass(run, settings, model, datetime.now(UTC)).walk()
    if not run.counts["scanned"]:
        run.quiet()


@dataclass
class _Pass:
    """One run over the memories that are new, or over all of them."""

    run: Run
    settings: MemorySettings
    model: Model
    now: datetime
    without_budget: set[UUID] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Of the watermark: with another model, all memories are new."""
        return f"embeddings/{model_name(self.settings)}"

    def walk(self) -> None:
        """Embed stretch by stretch; the watermark follows when a stretch is done.

        Raises:
            TransientError, PermanentError, AuthenticationError: The model works for nobody; the rest waits.
        """
        with transaction() as connection:
            at = self._start(connection)
        while not self.run.cancelled:
            with transaction() as connection:
                last = connection.scalar(_STRETCH, {"after": at, "most": self.settings.embed_pending_batch})
                wanted = [] if last is None else lacking_between(connection, at, last, self.settings)
            if last is None:
                return
            self._embed(wanted)
            with transaction() as connection:
                move_watermark(connection, self.name, last, now=self.now)
            at = last

    def _start(self, connection: Connection) -> int:
        """From the first memory once a day, also after the clock was set back, else from where the last run stopped."""
        position, _ = hold_watermark(connection, self.name, now=self.now)
        whole = f"{self.name}/whole"
        begun, since = hold_watermark(connection, whole, now=self.now)
        if begun and timedelta(0) <= self.now - since < timedelta(hours=self.settings.embed_whole_pass_hours):
            return position
        move_watermark(connection, whole, 1, now=self.now)
        move_watermark(connection, self.name, 0, now=self.now)
        return 0

    def _embed(self, wanted: Sequence[Lacking]) -> None:
        by_tenant: dict[UUID, list[Lacking]] = defaultdict(list)
        for each in wanted:
            by_tenant[each.tenant_id].append(each)
        self.run.count(scanned=len(wanted))
        for tenant, lacking in by_tenant.items():
            self._embed_tenant(tenant, lacking)

    def _embed_tenant(self, tenant: UUID, lacking: Sequence[Lacking]) -> None:
        if tenant in self.without_budget:
            self.run.count(budget_skipped=len(lacking))
            return
        size = self.settings.embed_batch
        for at in range(0, len(lacking), size):
            try:
                self._attempt(lacking[at : at + size])
            except BudgetSpent:
                self.without_budget.add(tenant)
                self.run.count(budget_skipped=len(lacking) - at)
                return

    def _attempt(self, batch: Sequence[Lacking]) -> None:
        """Embed a batch; one that is refused is halved until the culprit stands alone.

        Raises:
            TransientError, PermanentError, AuthenticationError: It is not a text's fault.
        """
        try:
            self.run.count(embedded=embed(batch, self.model))
        except InputRefused as error:
            if len(batch) == 1:
                self._give_up(batch[0], error)
                return
            middle = len(batch) // 2
            self._attempt(batch[:middle])
            self._attempt(batch[middle:])

    def _give_up(self, one: Lacking, error: PermanentError) -> None:
        self.run.count(failed=1)
        self.run.log.warning("embedding.refused", memory_id=one.memory_id, error=str(error))
