"""What a writer of memories hands over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from actors.memory.tables._schema import ENVIRONMENTS

if TYPE_CHECKING:
    from uuid import UUID


class Slot(NamedTuple):
    """Where at most one memory is the current one; the fields are columns of `memories`, in this order."""

    user_id: UUID
    project_id: UUID | None
    environment: str
    end_user_id: str | None
    extracted_type: str
    extracted_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMemory:
    """What somebody wants remembered; `importance` is from 0 to 1, after `ttl_seconds` it ends, whatever else holds.

    Raises:
        ValueError: The environment, the importance or the time to live is none.
    """

    tenant_id: UUID
    user_id: UUID
    project_id: UUID | None = None
    environment: str = "production"
    end_user_id: str | None = None
    text: str
    extracted_type: str
    extracted_key: str
    tags: tuple[str, ...] = ()
    source: str = "api"
    importance: float = 0.5
    ttl_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse here, where one bad memory harms no other, what the table would refuse."""
        if self.environment not in ENVIRONMENTS:
            raise ValueError(f"environment {self.environment!r} must be one of {', '.join(ENVIRONMENTS)}.")
        if not (math.isfinite(self.importance) and 0 <= self.importance <= 1):
            raise ValueError(f"importance {self.importance!r} must be a number from 0 to 1.")
        if self.ttl_seconds is not None and not 0 < self.ttl_seconds < math.inf:
            raise ValueError(f"ttl_seconds {self.ttl_seconds!r} must be more than 0, or None for no end.")

    @property
    def slot(self) -> Slot:
        """Where it stands."""
        return Slot(
            self.user_id,
            self.project_id,
            self.environment,
            self.end_user_id,
            self.extracted_type,
            self.extracted_key,
        )
