"""What is to be made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How large the company is and how old.

    Attributes:
        memories: Over all tenants.
        tenants: One more is added that has nothing at all.
        seed: Another seed, other people and other memories.
        largest: Part of the memories that the first tenant has; None shares them out evenly.
        now: The present.
        oldest_days: Age of the oldest memory.
        youngest_days: Age of the youngest.
        behind_days: When the jobs last ran; ages, tiers and scores are as they left them.
        events: Of apps, in `revenue`.
        secret_key: The installation's first key, 32 bytes; None makes up ciphertexts that nobody can read.
        webhooks: Endpoints that each tenant is given; the last part of a path names the endpoint's secret.
        siem: Kind (splunk, datadog, custom) and URL of what takes audit rows; the tenants take turns.
        outside: Add connections to providers and to RevenueCat, with the credentials that the stand-ins know.

    Raises:
        ValueError: The numbers do not go together.
    """

    memories: int = 2_000
    tenants: int = 3
    seed: int = 0
    largest: float | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    oldest_days: float = 158.0
    youngest_days: float = 0.0
    behind_days: float = 1.0
    events: int = 5_000
    secret_key: bytes | None = None
    webhooks: tuple[str, ...] = ()
    siem: tuple[tuple[str, str], ...] = ()
    outside: bool = False

    def __post_init__(self) -> None:
        """Refuse a company that cannot be."""
        if self.tenants < 1 or self.memories < 0 or self.events < 0:
            raise ValueError(
                f"tenants={self.tenants}, memories={self.memories}, events={self.events}: one tenant, 0, 0"
            )
        if not 0 <= self.youngest_days < self.oldest_days:
            raise ValueError(f"youngest_days={self.youngest_days} must be below oldest_days={self.oldest_days}")
        if self.largest is not None and not 0 < self.largest <= 1:
            raise ValueError(f"largest={self.largest} must be more than 0, at most 1")
        if self.secret_key is not None and len(self.secret_key) != 32:  # noqa: PLR2004 - AES-256
            raise ValueError(f"secret_key has {len(self.secret_key)} bytes; it takes 32")

    def shares(self) -> list[int]:
        """Memories of each tenant."""
        if self.largest is None or self.tenants == 1:
            least, more = divmod(self.memories, self.tenants)
            return [least + (number < more) for number in range(self.tenants)]
        first = round(self.memories * self.largest)
        least, more = divmod(self.memories - first, self.tenants - 1)
        return [first, *(least + (number < more) for number in range(self.tenants - 1))]
