"""Who takes part, and what their trials roughly cost: the rates are only for sizes and for the estimate of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
SHARED = Path(__file__).parent / "shared"
OURS = "callboard"


@dataclass(frozen=True, slots=True)
class Entrant:
    """One library with one choice of settings.

    Attributes:
        title: For tables and the picture.
        server: What holds its queue.
        drain: Jobs of a drain that takes seconds, not minutes; `large` is one more drain for the fastest.
        drains, sends: Jobs a second it was expected to do when this was written.
        python: The least version it runs on.
        folder: Its folder under `peers`, if it is not called like the entrant.
        env: Environment of its driver and workers.
    """

    name: str
    title: str
    server: str
    drain: int
    drains: int
    sends: int
    large: int = 0
    python: tuple[int, int] = (3, 11)
    folder: str = ""
    env: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The folder with its requirements, jobs and driver."""
        return PEERS / (self.folder or self.name)


_ENTRANTS = (
    Entrant(OURS, "Callboard", "Redis + Postgres", 20_000, 15_000, 4_000, large=100_000),
    Entrant("dramatiq", "Dramatiq", "Redis", 20_000, 4_000, 4_000),
    Entrant("celery", "Celery", "Redis", 5_000, 1_400, 1_100),
    Entrant("huey", "Huey", "Redis", 20_000, 5_000, 7_000),
    Entrant("taskiq", "taskiq", "Redis", 20_000, 3_500, 2_200),
    Entrant("saq", "SAQ", "Redis", 5_000, 1_700, 2_800),
    Entrant("rq", "RQ", "Redis", 5_000, 550, 1_600),
    Entrant("oban", "Oban for Python", "Postgres", 20_000, 6_000, 1_500, python=(3, 12)),
    Entrant("procrastinate", "Procrastinate", "Postgres", 5_000, 600, 800),
    Entrant("pgqueuer", "PgQueuer", "Postgres", 20_000, 14_000, 2_200, large=100_000),
)
_EXTRAS = (
    Entrant(
        "dramatiq-prefetch",
        "Dramatiq, prefetch 512",
        "Redis",
        20_000,
        5_000,
        4_000,
        folder="dramatiq",
        env={"dramatiq_queue_prefetch": "512", "BENCH_DRAIN_THREADS": "1"},
    ),
)
ALL: dict[str, Entrant] = {entrant.name: entrant for entrant in _ENTRANTS}
KNOWN: dict[str, Entrant] = ALL | {entrant.name: entrant for entrant in _EXTRAS}
