"""Run ids as people read and type them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

# A UUIDv7 begins with its millisecond (12 digits); with the next group runs of one burst differ too.
_SHOWN = 18


def short(run_id: UUID | str) -> str:
    """The first part of a run's id: enough to find the run by."""
    return str(run_id)[:_SHOWN]
