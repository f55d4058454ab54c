"""What a supervisor has to know, in plain values that fit on a command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

#: What a worker process may take beyond the grace of its jobs: to interrupt them, give back and say goodbye.
GOODBYE_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many worker processes, of which kind, and when one is renewed.

    Attributes:
        worker: The command line of a worker process.
        notary: That of the process that writes down what became of a killed one's runs.
        processes: Workers that work at any time.
        threads: Of each.
        grace_seconds: What a stopping worker gives its running jobs.
        lease_seconds: A worker that is silent for so long has lost its runs to others.
        max_jobs: A process that did so many is renewed; 0: never.
        max_memory_mb: A process that holds more is renewed (resident memory, 10^6 bytes); 0: never.
        revision: Of the code that runs, as the deployment names it.
        dramatiq: Its version.
        metrics: Whether the workers count, and it is served.
        packages: Folders of installed libraries, which a bare supervisor does not search.
    """

    worker: tuple[str, ...]
    notary: tuple[str, ...]
    processes: int
    threads: int
    grace_seconds: float
    lease_seconds: float
    max_jobs: int = 0
    max_memory_mb: int = 0
    log_format: Literal["auto", "json", "text"] = "auto"
    log_level: str = "info"
    version: str = ""
    revision: str = ""
    dramatiq: str = ""
    metrics: bool = False
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    metrics_most_actors: int = 500
    packages: tuple[str, ...] = ()

    @property
    def stop_seconds(self) -> float:
        """After so long a process that was asked to stop is killed."""
        return self.grace_seconds + GOODBYE_SECONDS

    def to_json(self) -> str:
        """For the command line of the supervisor."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """What `to_json` made."""
        given: dict[str, Any] = json.loads(text)
        return cls(**given | {name: tuple(given[name]) for name in ("worker", "notary", "packages")})
