from __future__ import annotations

import signal
from array import array
from typing import TYPE_CHECKING

import pytest

from actors.sessions import vector_process
from actors.sessions.vector_process import VectorProcess
from actors.sessions.vectors import VectorRow, VectorStore, VectorStoreError
from sandbox.vectors import embed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIMENSIONS = 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VectorProcess]:
    with VectorProcess(tmp_path / "vectors", DIMENSIONS) as process:
        yield process


def vector(text: str) -> array[float]:
    return array("f", embed(text, DIMENSIONS))


def rows(message_id: int, *texts: str) -> list[VectorRow]:
    return [VectorRow(message_id, number, text, vector(text)) for number, text in enumerate(texts)]


def test_a_store_without_a_table_is_empty_and_makes_no_folder(store: VectorProcess, tmp_path: Path) -> None:
    assert store.nearest(vector("x"), 3) == []
    assert (store.count(), store.fragments(), list(store.message_ids())) == (0, 0, [])
    store.delete([1])
    store.replace([1], [])
    store.compact(1)
    assert not (tmp_path / "vectors").exists()


def test_the_nearest_come_first_with_their_distance(store: VectorProcess) -> None:
    store.replace([1, 2], [*rows(1, "the cat sat", "a dog ran"), *rows(2, "zażółć \u2028 gęślą\n")])
    (cat,) = store.nearest(vector("the cat sat"), 1)
    assert cat[:3] == (1, 0, "the cat sat")
    assert cat.distance == pytest.approx(0, abs=1e-6)
    hits = store.nearest(vector("gęślą zażółć"), 3)
    assert hits[0][:3] == (2, 0, "zażółć \u2028 gęślą\n")
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)


def test_more_rows_than_one_call_carries(store: VectorProcess) -> None:
    store.replace([1], rows(1, *(f"chunk {number}" for number in range(600))))
    store.replace([1], rows(1, *(f"chunk {number}" for number in range(300))))
    assert store.count() == 300
    assert list(store.message_ids()) == [1]


def test_another_process_sees_what_was_written(store: VectorProcess, tmp_path: Path) -> None:
    other = VectorStore(tmp_path / "vectors", DIMENSIONS)
    store.replace([1], rows(1, "one"))
    assert other.count() == 1
    store.replace([2], rows(2, "two"))
    assert other.count() == 2


def test_a_deleted_table_has_no_ids(store: VectorProcess) -> None:
    store.replace([1], rows(1, "one"))
    store.delete([1])
    assert list(store.message_ids()) == []


def test_vectors_of_another_length_are_refused_and_the_process_lives(store: VectorProcess) -> None:
    store.replace([1], rows(1, "one"))
    with pytest.raises(VectorStoreError, match="LanceDB could not add"):
        store.replace([2], [VectorRow(2, 0, "two", array("f", [1.0]))])
    with pytest.raises(VectorStoreError, match="no call nothing with 1 arguments"):
        store._call("nothing", 1)
    assert store.count() == 1


def test_a_dead_process_is_an_error_and_closes_quietly(store: VectorProcess) -> None:
    store._child.kill()
    store._child.wait()
    with pytest.raises(VectorStoreError, match="the vector process died while asked to count: -9"):
        store.count()


def test_a_process_that_does_not_end_is_killed(store: VectorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_process, "_STOP_SECONDS", 0.1)
    store._child.send_signal(signal.SIGSTOP)
    store.close()
    assert store._child.returncode == -signal.SIGKILL


def test_close_may_be_called_twice(store: VectorProcess) -> None:
    store.close()
    store.close()
    assert store._child.returncode == 0
