from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from actors.sessions.index import index_pending
from actors.sessions.pending import reset_index
from actors.sessions.search import search
from actors.sessions.settings import get_sessions_settings
from actors.sessions.vector_process import VectorProcess
from actors.sessions.vectors import VectorStore
from callboard import AuthenticationError, TransientError, transaction
from tests.integration.sessions.seeding import add_messages, states
from tests.support import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from callboard import Run
    from callboard.testing import MemoryBroker
    from sandbox.ollama import OllamaStandIn

TEXTS = ["The cat sat on the mat.", "Postgres takes a snapshot at the first query.", "A soup of lentils and carrots."]
NOTHING = {"indexed_messages": 0, "indexed_chunks": 0, "skipped": 0, "failed": 0, "deferred": 0, "errors": 0}

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("ollama")]


def vectors() -> VectorStore:
    """What is in LanceDB now, read by this process."""
    settings = get_sessions_settings()
    return VectorStore(settings.vectors_dir, settings.embedding_dimensions)


def asked(ollama: OllamaStandIn) -> int:
    return sum(path == "/api/embed" for path, _ in ollama.requests)


def test_messages_of_assistants_get_vectors_and_are_found(callboard_run: Run) -> None:
    add_messages(["How does Postgres take a snapshot?"], kind="user")
    ids = add_messages([*TEXTS, "  "])
    index_pending()
    assert callboard_run.counts == {
        "total_messages": 4,
        "indexed_messages": 3,
        "indexed_chunks": 3,
        "skipped": 1,
        "failed": 0,
        "deferred": 0,
        "errors": 0,
    }
    assert states() == [0, 1, 1, 1, 1]
    assert list(vectors().message_ids()) == ids[:3]
    found = search("when does Postgres take its snapshot", limit=2)
    assert (found[0].content, found[0].session_id) == (TEXTS[1], "s1")
    assert found[0].distance < found[1].distance
    assert callboard_run.latest_progress == {"processed": 4, "total": 4, "message": "4 of 4 messages"}


def test_nothing_pending_asks_nobody(ollama: OllamaStandIn, callboard_run: Run) -> None:
    index_pending()
    assert callboard_run.counts == {"total_messages": 0, **NOTHING}
    assert not ollama.requests


def test_a_long_message_is_many_chunks_but_one_find(callboard_run: Run) -> None:
    paragraphs = [f"Chapter {number} is about topic{number}. " * 40 for number in range(12)]
    add_messages(["\n\n".join(paragraphs)])
    index_pending()
    assert callboard_run.counts["indexed_messages"] == 1
    assert callboard_run.counts["indexed_chunks"] == 12
    assert [each.content[:10] for each in search("topic7 chapter 7", limit=5)] == ["Chapter 7 "]


def test_a_run_takes_its_limit_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_INDEX_LIMIT", "2")
    get_sessions_settings.cache_clear()
    add_messages(TEXTS)
    index_pending()
    assert states() == [1, 1, 0]
    index_pending()
    assert states() == [1, 1, 1]


def test_a_batch_is_bounded_by_bytes_and_a_longer_message_comes_alone(
    monkeypatch: pytest.MonkeyPatch, ollama: OllamaStandIn
) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_INDEX_BATCH_BYTES", "1024")
    get_sessions_settings.cache_clear()
    add_messages(["a" * 500, "é" * 250, "c" * 100, "d" * 1900, "e"])
    index_pending()
    assert states() == [1] * 5
    assert asked(ollama) == 4  # a+é, c, d, e


def test_a_second_time_replaces_the_same_rows() -> None:
    add_messages(TEXTS)
    index_pending()
    assert reset_index() == 0
    assert reset_index(everything=True) == 3
    index_pending()
    assert vectors().count() == 3


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"reset": True}, {"malformed": True}])
def test_while_ollama_does_not_work_everything_stays_pending(
    ollama: OllamaStandIn, callboard_run: Run, fault: dict[str, Any]
) -> None:
    ollama.fail(**fault, times=None, path="/api/embed")
    add_messages(TEXTS)
    with pytest.raises(TransientError, match="indexed 0 of 3 messages, the others stay pending: Ollama"):
        index_pending()
    assert states() == [0, 0, 0]
    assert asked(ollama) == 2, "the batch and one probe, not a call for each message"
    assert callboard_run.counts == {"total_messages": 3, **NOTHING, "errors": 1}


def test_ollama_that_is_not_there_names_the_mend(ollama: OllamaStandIn) -> None:
    ollama.stop()
    add_messages(TEXTS)
    with pytest.raises(TransientError, match="`ollama serve`"):
        index_pending()
    assert states() == [0, 0, 0]


def test_what_was_indexed_before_ollama_broke_stays_indexed(
    monkeypatch: pytest.MonkeyPatch, ollama: OllamaStandIn, callboard_run: Run
) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_INDEX_BATCH", "2")
    get_sessions_settings.cache_clear()
    add_messages([*TEXTS, "the last one"])
    ollama.fail(status=503, contains="lentils")
    ollama.fail(status=503, contains="Is this text embedded?")
    with pytest.raises(TransientError, match="indexed 2 of 4 messages"):
        index_pending()
    assert states() == [1, 1, 0, 0]
    assert callboard_run.counts["indexed_chunks"] == 2


def test_a_passing_failure_costs_nothing(ollama: OllamaStandIn) -> None:
    ollama.fail(status=500, path="/api/embed")
    add_messages(TEXTS)
    index_pending()
    assert states() == [1, 1, 1]


def test_a_missing_model_waits_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_OLLAMA_MODEL", "absent")
    get_sessions_settings.cache_clear()
    add_messages(TEXTS)
    with pytest.raises(TransientError, match="run `ollama pull absent`"):
        index_pending()
    assert states() == [0, 0, 0]


def test_vectors_of_another_length_stop_the_run(ollama: OllamaStandIn) -> None:
    ollama.fail(dimensions=768, times=None, path="/api/embed")
    add_messages(TEXTS)
    with pytest.raises(TransientError, match="vectors of 768 dimensions, 1024 are expected"):
        index_pending()
    assert states() == [0, 0, 0]


def test_refused_credentials_are_an_authentication_failure(ollama: OllamaStandIn) -> None:
    ollama.fail(status=401, path="/api/embed")
    add_messages(TEXTS)
    with pytest.raises(AuthenticationError):
        index_pending()
    assert states() == [0, 0, 0]


def test_a_poison_message_is_isolated_and_marked(ollama: OllamaStandIn, callboard_run: Run) -> None:
    ids = add_messages([f"message {number}" for number in range(37)] + ["poison"] + ["after"] * 12)
    ollama.fail(status=400, contains="poison", times=None)
    with capture_logs() as logs:
        index_pending()
    assert states() == [1] * 37 + [-1] + [1] * 12
    assert callboard_run.counts == {
        "total_messages": 50,
        **NOTHING,
        "indexed_messages": 49,
        "indexed_chunks": 49,
        "failed": 1,
        "errors": 1,
    }
    (line,) = [line for line in logs if line["event"] == "index.message_failed"]
    assert (line["message_id"], line["characters"]) == (ids[37], 6)
    assert asked(ollama) <= 2 * 2 * 6 + 1
    index_pending()
    assert callboard_run.counts["total_messages"] == 50, "a failed message is not tried again by itself"
    ollama.faults.clear()
    assert reset_index() == 1
    index_pending()
    assert states() == [1] * 50


def test_a_text_that_breaks_ollama_is_left_pending_and_holds_up_nobody(
    ollama: OllamaStandIn, callboard_run: Run
) -> None:
    add_messages(["breaks the server", *TEXTS])
    ollama.fail(status=500, contains="breaks", times=None)
    index_pending()
    assert states() == [0, 1, 1, 1]
    assert callboard_run.counts["deferred"] == 1
    assert callboard_run.counts["failed"] == 0
    ollama.faults.clear()
    index_pending()
    assert states() == [1, 1, 1, 1]


def test_a_server_that_refuses_every_text_marks_none(ollama: OllamaStandIn) -> None:
    ollama.fail(status=400, times=None, path="/api/embed")
    add_messages(TEXTS)
    with pytest.raises(TransientError, match="answered 400"):
        index_pending()
    assert states() == [0, 0, 0]


def test_a_crash_between_vectors_and_mark_is_made_good() -> None:
    ids = add_messages(TEXTS)
    with transaction() as connection:
        connection.execute(text("CREATE TABLE sessions.veto (id int)"))
        connection.execute(text("ALTER TABLE sessions.messages ADD CONSTRAINT veto CHECK (vector_indexed = 0)"))
    with pytest.raises(Exception, match="veto"):
        index_pending()
    assert states() == [0, 0, 0]
    assert vectors().count() == 3, "vectors come first"
    with transaction() as connection:
        connection.execute(text("ALTER TABLE sessions.messages DROP CONSTRAINT veto"))
    index_pending()
    assert states() == [1, 1, 1]
    assert vectors().count() == 3
    assert list(vectors().message_ids()) == ids


def test_a_cancelled_run_stops_between_batches(
    monkeypatch: pytest.MonkeyPatch, ollama: OllamaStandIn, callboard_run: Run
) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_INDEX_BATCH", "1")
    get_sessions_settings.cache_clear()
    add_messages(TEXTS)
    original = callboard_run.progress

    def cancel_after_the_first(done: int, total: int, message: str = "") -> None:
        original(done, total, message)
        callboard_run.request_cancel()

    monkeypatch.setattr(callboard_run, "progress", cancel_after_the_first)
    index_pending()
    assert states() == [1, 0, 0]
    assert callboard_run.cancel_was_seen
    assert asked(ollama) == 1


def test_a_folder_that_cannot_be_written_stops_the_run(sessions_home: Path, callboard_run: Run) -> None:
    folder = get_sessions_settings().vectors_dir
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    add_messages(TEXTS)
    with pytest.raises(TransientError, match="LanceDB could not add"):
        index_pending()
    assert states() == [0, 0, 0]
    assert callboard_run.counts["errors"] == 1
    assert sessions_home.is_dir()


def test_many_batches_are_merged_at_the_end_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_SESSIONS_INDEX_BATCH", "1")
    monkeypatch.setenv("CALLBOARD_SESSIONS_VECTORS_FRAGMENTS", "4")
    get_sessions_settings.cache_clear()
    add_messages([f"message {number}" for number in range(4)])
    index_pending()
    assert vectors().fragments() == 4
    add_messages(["one more"])
    index_pending()
    assert (vectors().fragments(), vectors().count()) == (1, 5)


def test_through_the_engine_a_failed_run_is_tried_again(callboard_broker: MemoryBroker, ollama: OllamaStandIn) -> None:
    add_messages(TEXTS)
    ollama.fail(status=500, times=2, path="/api/embed")
    index_pending.send()
    (run,) = callboard_broker.drain()
    assert (run.state, run.attempts) == ("completed", 2)
    assert run.report.counts["indexed_messages"] == 3
    assert states() == [1, 1, 1]


def test_the_vector_process_ends_with_the_worker_that_started_it() -> None:
    with VectorProcess.of(get_sessions_settings()) as store:
        assert store.count() == 0
        stdin = store._child.stdin
        assert stdin is not None
        stdin.close()  # what the kernel does when the worker is killed
        eventually(lambda: store._child.poll() is not None, what="the end of the child")
