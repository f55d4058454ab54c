from __future__ import annotations

import threading
import time

from structlog.testing import capture_logs

from observability.snapshot import BROKER, POSTGRES
from observability.sources import Source
from tests.support import eventually


def test_a_source_is_read_and_timed() -> None:
    facts, state = Source(BROKER, lambda: 1).begin()()
    assert facts == 1
    assert state.up
    assert 0 <= state.seconds < 1


def test_every_reading_asks_anew() -> None:
    numbers = iter(range(3))
    source = Source(BROKER, lambda: next(numbers))
    assert [source.begin()().facts for _ in range(3)] == [0, 1, 2]


def test_a_source_that_fails_is_down() -> None:
    def read() -> int:
        raise TimeoutError("too slow")

    source = Source(POSTGRES, read)
    with capture_logs() as lines:
        facts, state = source.begin()()
    assert (facts, state.up) == (None, False)
    assert (lines[0]["event"], lines[0]["source"]) == ("exporter.source_down", POSTGRES)


def test_a_source_that_hangs_is_down_in_time_and_holds_one_thread() -> None:
    go_on = threading.Event()
    readers: list[str] = []

    def read() -> int:
        readers.append(threading.current_thread().name)
        assert go_on.wait(10)
        return 7

    source = Source(POSTGRES, read, patience=0.1)
    begun = time.monotonic()
    with capture_logs() as lines:
        answers = [source.begin()() for _ in range(5)]
    assert time.monotonic() - begun < 2
    assert [(answer.facts, answer.state.up) for answer in answers] == [(None, False)] * 5
    assert {line["event"] for line in lines} == {"exporter.source_hangs"}
    assert readers == ["source-postgres"]
    go_on.set()
    assert eventually(lambda: source.begin()().facts == 7, what="the source to be read again once it answers")


def test_those_who_ask_at_the_same_time_share_a_reading() -> None:
    go_on = threading.Event()
    asked: list[int] = []

    def read() -> int:
        asked.append(1)
        assert go_on.wait(10)
        return 7

    source = Source(POSTGRES, read)
    first, second = source.begin(), source.begin()
    go_on.set()
    assert (first().facts, second().facts, len(asked)) == (7, 7, 1)
