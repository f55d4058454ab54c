"""A suspect is alone also with what has ended and is not written: a crash would take that along."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callboard.worker.quarantine import Quarantine
from tests.support import eventually

_MOMENT = 0.1


@contextmanager
def beside(act: object) -> Iterator[threading.Thread]:
    """The act in a thread of its own."""
    assert callable(act)
    thread = threading.Thread(target=act)
    thread.start()
    yield thread
    thread.join(5)
    assert not thread.is_alive()


def test_a_suspect_waits_until_what_ended_before_it_is_written_and_others_until_its_own_end_is() -> None:
    written = threading.Event()
    gate = Quarantine(lambda: None, written.is_set)
    with beside(gate.enter) as entering:
        eventually(lambda: gate.closed, 5)
        entering.join(_MOMENT)
        assert entering.is_alive(), "it began beside an end that was not written"
        written.set()
    written.clear()
    with beside(gate.leave) as leaving:
        leaving.join(_MOMENT)
        assert gate.closed, "others could begin before its end was written"
        assert not gate.enter(), "another suspect could"
        written.set()
    assert not gate.closed


@pytest.mark.parametrize("end", ["stop", "look"])
def test_it_does_not_wait_for_ever(end: str) -> None:
    gate = Quarantine(lambda: None, lambda: False)
    gate.closed = True
    with beside(gate.leave) as leaving:
        leaving.join(_MOMENT)
        assert leaving.is_alive()
        if end == "stop":
            gate.stop()
        else:
            gate._opens_at = time.monotonic()
            gate.look(time.monotonic())
    assert not gate.closed
