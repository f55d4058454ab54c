"""`callboard sessions`: from a text to its message, from a backup back to the tables, from a failure to a new try."""

from __future__ import annotations

import json

import pytest

from actors.sessions.pending import FAILED, mark
from callboard.exits import Exit
from sandbox.ollama import OllamaStandIn
from tests.integration.cli.conftest import Board
from tests.integration.sessions.seeding import add_messages, states

TEXTS = [
    "The scheduler holds one advisory lock, and the standby waits for it until the session of the leader is gone.",
    "A backup is written beside its final name, checked, and renamed, so that a half file is never taken for a whole.",
    "Vectors live in LanceDB; a nearest neighbour query finds the message whose words are most like the question's.",
]


@pytest.fixture
def catalogue(board: Board, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setenv("CALLBOARD_ACTORS", "actors.sessions")
    return board


def run(board: Board, job: str) -> int:
    """Run a job in a process of its own: a catalogue's jobs are declared once in each."""
    process = board.start("run", job)
    process.communicate(timeout=60)
    return int(process.returncode)


def test_an_indexed_message_is_found_by_its_meaning(catalogue: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    with OllamaStandIn() as ollama:
        monkeypatch.setenv("CALLBOARD_SESSIONS_OLLAMA_URL", ollama.url)
        add_messages(TEXTS)
        assert run(catalogue, "index_pending") == Exit.OK
        found = json.loads(catalogue("sessions", "search", "nearest neighbour query in LanceDB", "--json").out)
        assert found[0]["content"] == TEXTS[2]
        assert (
            TEXTS[2][:20] in catalogue("sessions", "search", "nearest neighbour query in LanceDB", "--limit", "1").out
        )


def test_a_backup_is_listed_and_restored(catalogue: Board) -> None:
    assert "There is no backup yet" in catalogue("sessions", "backups").out
    add_messages(TEXTS)
    assert run(catalogue, "backup") == Exit.OK
    (made,) = json.loads(catalogue("sessions", "backups", "--json").out)
    refused = catalogue("sessions", "restore", made["path"])
    assert refused.code == Exit.FAILED
    assert "Traceback" not in refused.err
    restored = catalogue("sessions", "restore", made["path"], "--replace")
    assert restored.code == Exit.OK, restored.err
    assert "rows restored" in restored.out
    assert len(states()) == len(TEXTS)


def test_failed_messages_wait_again(catalogue: Board) -> None:
    catalogue("jobs")
    ids = add_messages(TEXTS)
    mark(ids[:2], FAILED)
    assert "index_pending tries 2 messages again" in catalogue("sessions", "reset-index").out
    assert states() == [0, 0, 0]
