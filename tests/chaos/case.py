"""What a case is: a fault, its load and what must be true afterwards, in full size and in that of a test run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.stage import Stage
from tests.chaos.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Shorter than the settings that ship, so that a test is: what is promised is the order of things.
QUICK: dict[str, object] = {
    "heartbeat_seconds": 0.5,
    "lease_seconds": 2,
    "recovery_seconds": 1,
    "leader_poll_seconds": 0.5,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case.

    Attributes:
        name: How the command and the table call it.
        fault: In words, for the table.
        play: The case itself: drives load, injects the fault, heals, waits and counts. Its defaults are the full size.
        quick: Sizes for a test run; None: too long for one.
        size: Sizes that differ from the play's defaults.
        settings: The engine's, in both sizes; a test run has `QUICK` besides.
        promised: False where a loss is no breach of a promise, and is only counted.
    """

    name: str
    fault: str
    play: Callable[..., Tally]
    quick: dict[str, Any] | None = None
    size: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    promised: bool = True


def run(
    case: Case, folder: Path, *, seed: int, quick: bool = False, settings: dict[str, object] | None = None
) -> Tally:
    """Play a case on a stage of its own and return what was counted.

    Args:
        case: Which.
        folder: For servers and logs.
        seed: Of every choice that is left to chance.
        quick: In the size of a test run.
        settings: The engine's, besides the case's own.
    """
    given = {**(QUICK if quick else {}), **case.settings, **(settings or {})}
    size = {**case.size, **((case.quick or {}) if quick else {})}
    began = time.monotonic()
    with Stage(folder, given, seed=seed) as stage:
        try:
            tally = case.play(stage, **size)
        except Exception as error:  # noqa: BLE001 - e.g. what was waited for did not come: counted as it stands
            tally = _as_it_stands(stage)
            tally.broken.append(f"{type(error).__name__}: {error}")
    tally.case, tally.fault, tally.seed = case.name, case.fault, seed
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


def _as_it_stands(stage: Stage) -> Tally:
    try:
        return stage.tally()
    except Exception as error:  # noqa: BLE001 - a server that does not answer even now
        return Tally(broken=[f"no accounts: {type(error).__name__}: {error}"])
