from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from actors.sessions.compact import compact
from actors.sessions.settings import get_sessions_settings
from actors.sessions.tables import messages
from actors.sessions.vector_process import VectorProcess
from actors.sessions.vectors import VectorRow, VectorStoreError, table_folder
from callboard import Run, TransientError, transaction
from callboard.run import enter_run
from sandbox.vectors import embed
from tests.integration.sessions.seeding import add_messages
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("sessions_home")]


@pytest.fixture
def store(sessions_home: Path) -> Iterator[VectorProcess]:
    del sessions_home
    with VectorProcess.of(get_sessions_settings()) as process:
        yield process


def fill(store: VectorProcess, ids: list[int]) -> None:
    """One write for each message, as an index run with batches of one does."""
    for number in ids:
        store.replace([number], [VectorRow(number, 0, f"text {number}", array("f", embed(f"text {number}", 1024)))])


def test_without_a_table_there_is_nothing_to_do(callboard_run: Run) -> None:
    compact()
    assert callboard_run.counts == {"bytes_before": 0, "bytes_after": 0, "orphans_removed": 0}
    assert callboard_run.notes == {"skipped": "no vectors yet"}
    assert not get_sessions_settings().vectors_dir.exists()


def test_files_are_merged_old_versions_go_and_vectors_stay(
    store: VectorProcess, callboard_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_messages([f"text {number}" for number in range(12)])
    fill(store, ids)
    fill(store, ids)  # the first ones are old versions now
    monkeypatch.setenv("CALLBOARD_SESSIONS_VECTORS_KEEP_SECONDS", "1")
    get_sessions_settings.cache_clear()
    assert store.fragments() == 12
    compact()
    assert store.fragments() == 1

    def old_versions_are_gone() -> bool:
        run = Run(job="compact")
        enter_run(run)
        compact()
        return run.counts["bytes_after"] < callboard_run.counts["bytes_before"] / 1.5

    eventually(old_versions_are_gone, 20, what="the age at which versions may go")
    assert callboard_run.counts["orphans_removed"] == 0
    assert list(store.message_ids()) == ids
    assert store.nearest(array("f", embed("text 7", 1024)), 1)[0].content == "text 7"


def test_vectors_of_messages_that_are_gone_are_deleted(store: VectorProcess, callboard_run: Run) -> None:
    ids = add_messages([f"text {number}" for number in range(5)])
    (question,) = add_messages(["a question"], kind="user")
    fill(store, [*ids, question, 777_777_777])
    with transaction() as connection:
        connection.execute(delete(messages).where(messages.c.id.in_(ids[1:3])))
    compact()
    assert callboard_run.counts["orphans_removed"] == 4
    assert list(store.message_ids()) == [ids[0], *ids[3:]]


def test_a_writer_at_the_same_time_loses_nothing(store: VectorProcess) -> None:
    """Either may be told of a conflict and try again; no vector may be missing afterwards."""
    ids = add_messages([f"text {number}" for number in range(24)])
    fill(store, ids[:12])
    failures: list[Exception] = []

    def compact_again_and_again() -> None:
        enter_run(Run(job="compact"))
        for _ in range(2):
            try:
                compact()
            except TransientError as error:
                failures.append(error)

    compactor = threading.Thread(target=compact_again_and_again)
    compactor.start()
    for number in ids[12:]:
        _insist(store, number)
    compactor.join()
    compact()
    assert list(store.message_ids()) == ids
    assert store.count() == len(ids)
    assert all("LanceDB could not" in str(error) for error in failures)


def _insist(store: VectorProcess, number: int) -> None:
    for _ in range(50):
        try:
            fill(store, [number])
        except VectorStoreError:
            continue
        return
    raise AssertionError(f"message {number} met a conflict 50 times")


def test_a_damaged_table_names_the_folder(store: VectorProcess) -> None:
    fill(store, add_messages(["text"]))
    for path in table_folder(get_sessions_settings().vectors_dir).rglob("*.lance"):
        path.write_bytes(b"damaged")
    with pytest.raises(TransientError, match=r"LanceDB could not .*; if it stays so, look at the folder"):
        compact()
