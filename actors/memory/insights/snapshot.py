"""One snapshot, from the sample to the row.

What a row holds is sealed JSON: a user's with the user's own key, so that it goes with the user; a tenant's with the
installation's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from actors.memory.insights.sample import Owner, Sample, sample_of
from actors.memory.prompts import prompt
from actors.memory.texts import Keyring, Unreadable
from actors.memory.users import hold_users
from callboard import seal, transaction, unseal

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from actors.memory.clients.model import Model
    from actors.memory.settings import MemorySettings

#: Of memories that are mostly of such a kind, insights with fewer risks or points of skepticism are not to be trusted:
#: (risks, points of skepticism).
REQUIRED = {"DECISION": (1, 1), "POLICY": (1, 1), "STATUS": (1, 0), "FACT": (0, 1), "RELATIONSHIP": (0, 1)}

_LATEST = text("""
select sample_hash from memory.insight_snapshots
where tenant_id = :tenant_id and user_id is not distinct from cast(:user_id as uuid)
order by snapshot_date desc limit 1
""")
_WRITE = text("""
insert into memory.insight_snapshots as s
    (tenant_id, user_id, snapshot_date, sample_hash, sample_size, content, low_confidence, created_at)
values (:tenant_id, :user_id, :day, :sample_hash, :sample_size, :content, :low_confidence, :now)
on conflict (tenant_id, user_id, snapshot_date) do update
set sample_hash = excluded.sample_hash, sample_size = excluded.sample_size, content = excluded.content,
    low_confidence = excluded.low_confidence, created_at = excluded.created_at
""")
_CLEAN = text("update memory.users set insights_dirty = false where id = :user_id and insights_dirty")
_CONTENT = text("select content from memory.insight_snapshots where id = :id")


class Insights(BaseModel):
    """What the model is asked for."""

    model_config = ConfigDict(extra="forbid")

    themes: list[str]
    trends: list[str]
    risks: list[str]
    skepticism: list[str]

    def is_low_on(self, kind: str) -> bool:
        """Whether it holds fewer risks or points of skepticism than memories of that kind give reason for."""
        risks, skepticism = REQUIRED.get(kind, (0, 0))
        return len(self.risks) < risks or len(self.skepticism) < skepticism


def snapshot(owner: Owner, model: Model, settings: MemorySettings, now: datetime) -> str:
    """Write the snapshot of the day; `written`, `low_confidence` (written too), `unchanged` or `empty`.

    A sample that is as it was at the latest snapshot is not sent to the model again.

    Raises:
        TransientError, PermanentError, AuthenticationError: See clients/model.py; nothing was written.
        Unreadable: No memory of the sample can be read.
    """
    with transaction() as connection:
        sample = _looked_at(connection, owner, settings, now)
        if not sample.rows or connection.scalar(_LATEST, owner._asdict()) == sample.hash:
            _clean(connection, owner)
            return "unchanged" if sample.rows else "empty"
        asked = sample.prompt(Keyring.of(connection, sample.users), longest=settings.prompt_longest)
    if not asked:
        raise Unreadable(f"None of {len(sample.rows)} memories of tenant {owner.tenant_id} in the sample can be read.")
    insights = model.chat(prompt("insights"), asked, schema=Insights, category="insights", tenant_id=owner.tenant_id)
    with transaction() as connection:
        return _write(connection, owner, sample, insights, settings, now)


def _looked_at(connection: Connection, owner: Owner, settings: MemorySettings, now: datetime) -> Sample:
    """The sample; of a user, while nobody writes for the user."""
    if owner.user_id is not None:
        hold_users(connection, [owner.user_id])
    return sample_of(connection, owner, settings, now)


def _write(
    connection: Connection, owner: Owner, sample: Sample, insights: Insights, settings: MemorySettings, now: datetime
) -> str:
    low = insights.is_low_on(sample.commonest_kind)
    if owner.user_id is not None and _looked_at(connection, owner, settings, now).hash == sample.hash:
        _clean(connection, owner)  # else there is something newer, and the user stays due
    connection.execute(
        _WRITE,
        {
            **owner._asdict(),
            "day": now.date(),
            "sample_hash": sample.hash,
            "sample_size": len(sample.rows),
            "content": _sealed(connection, owner, insights),
            "low_confidence": low,
            "now": now,
        },
    )
    return "low_confidence" if low else "written"


def _sealed(connection: Connection, owner: Owner, insights: Insights) -> bytes:
    content = insights.model_dump_json()
    if owner.user_id is None:
        return seal(content.encode())
    return Keyring.of(connection, [owner.user_id]).encrypt(owner.user_id, content)


def opened(connection: Connection, owner: Owner, snapshot_id: int) -> Insights:
    """What a snapshot says.

    Raises:
        PermanentError: It cannot be opened any more; says why.
    """
    content = bytes(connection.scalars(_CONTENT, {"id": snapshot_id}).one())
    if owner.user_id is None:
        return Insights.model_validate_json(unseal(content))
    return Insights.model_validate_json(Keyring.of(connection, [owner.user_id]).decrypt(owner.user_id, content))


def _clean(connection: Connection, owner: Owner) -> None:
    if owner.user_id is not None:
        connection.execute(_CLEAN, {"user_id": owner.user_id})
