"""A stand-in for an outside system, as a process of its own."""

from __future__ import annotations

from typing import NamedTuple


class StandInProcess(NamedTuple):
    """What it is called, how it is started and where it can be found."""

    name: str
    command: list[str]
    address: str
