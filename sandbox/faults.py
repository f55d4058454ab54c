"""Faults on demand: what a stand-in does wrong, how often, and for which requests."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One planted fault; every field that is set applies."""

    times: int | None = 1  #: requests it applies to; None: until it is cleared
    path: str = ""  #: only requests to this path, with its query or without
    contains: str = ""  #: only requests whose body holds this text
    delay: float = 0.0  #: seconds before anything else happens
    status: int = 0  #: answer this status instead of the right answer
    retry_after: int = 0  #: seconds, sent as a header along with the status
    headers: Mapping[str, str] = field(default_factory=dict)  #: sent along too
    reset: bool = False  #: break the connection without an answer
    malformed: bool = False  #: cut the right answer off in the middle
    dimensions: int = 0  #: answer with vectors of this length
    answer: object = None  #: answer with this JSON document

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Fault:
        """A fault from JSON.

        Raises:
            ValueError: A field is unknown.
        """
        known = {each.name for each in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown:
            raise ValueError(f"unknown field {unknown[0]!r}; a fault has {', '.join(sorted(known))}")
        return cls(**document)

    def fits(self, path: str, body: bytes) -> bool:
        """Whether it is meant for such a request."""
        return self.path in ("", path, path.partition("?")[0]) and self.contains.encode() in body


class Faults:
    """The faults planted in one stand-in, oldest first; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planted: list[tuple[Fault, int | None]] = []

    def plant(self, fault: Fault) -> None:
        """Apply `fault` to the next requests that fit."""
        with self._lock:
            self._planted.append((fault, fault.times))

    def clear(self, path: str = "") -> None:
        """Forget all of them, or those that were planted for a path."""
        with self._lock:
            self._planted = [each for each in self._planted if path not in ("", each[0].path)]

    def take(self, path: str, body: bytes) -> Fault | None:
        """The first fault that fits the request; one of its times is used up."""
        with self._lock:
            for at, (fault, left) in enumerate(self._planted):
                if fault.fits(path, body):
                    self._use(at, fault, left)
                    return fault
        return None

    def _use(self, at: int, fault: Fault, left: int | None) -> None:
        if left is None:
            return
        if left > 1:
            self._planted[at] = (fault, left - 1)
        else:
            del self._planted[at]

    def as_json(self) -> list[dict[str, Any]]:
        """What is planted, with the times that are left."""
        with self._lock:
            return [{**asdict(fault), "times": left} for fault, left in self._planted]
