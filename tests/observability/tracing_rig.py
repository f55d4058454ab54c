"""Processes of a test of tracing: real workers and producers, and the back end that they send to."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.fleet import Fleet
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.otlp import OtlpReceiver, ReceivedSpan

_SEND = "from tests.observability.tracing_jobs import *; "


class Rig(Fleet):
    """A fleet whose processes send their spans to `endpoint`."""

    def __init__(self, database_url: str, broker_url: str, folder: Path, endpoint: str, **otel: str) -> None:
        super().__init__(database_url, broker_url, folder, actors="tests.observability.tracing_jobs", worker_threads=2)
        self._env |= {"OTEL_BSP_SCHEDULE_DELAY": "100", "TRACED_URL": endpoint, **otel}
        if endpoint:
            self._env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint

    def send(self, code: str) -> None:
        """Run `code`, in which every job is known, in a process of its own."""
        process = self.start([sys.executable, "-c", _SEND + code], {})
        code_of_exit = process.wait(30)
        self.processes.remove(process)
        assert code_of_exit == 0, self.output.read_text()

    def ended(self, number: int) -> None:
        """Wait until so many runs have ended."""
        query = "select count(*) from board.runs where state in ('completed', 'failed', 'cancelled')"
        eventually(lambda: self.query(query)[0][0] >= number, 30, what=f"{number} runs ended")


@contextmanager
def running(make: Callable[[], Rig]) -> Iterator[Rig]:
    """A rig that is stopped in the end."""
    rig = make()
    try:
        yield rig
    finally:
        rig.stop()


def arrived(back_end: OtlpReceiver, number: int, name: str, **attributes: object) -> list[ReceivedSpan]:
    """So many spans of this name, as soon as they are there."""

    def look() -> list[ReceivedSpan] | None:
        found = back_end.spans(name, **attributes)
        return found if len(found) >= number else None

    found = eventually(look, 20, what=f"{number} spans {name}")
    assert found is not None
    return found
