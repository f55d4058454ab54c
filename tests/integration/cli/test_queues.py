from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from callboard import get_broker
from callboard.broker import Lane, RedisBroker, Transport
from callboard.broker.memory import MemoryBroker
from callboard.compose import make_broker
from callboard.exits import Exit
from callboard.job import get_job
from callboard.ledger.database import transaction
from callboard.loading import load_actors
from callboard.operations import queues as operations
from callboard.outcome import Acknowledge
from callboard.settings import get_settings
from tests.integration.cli.conftest import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.cli.conftest import Board


def listed(board: Board) -> dict[str, dict[str, Any]]:
    answer = board("queues", "--json")
    assert (answer.code, answer.err) == (0, "")
    return {row["queue"]: row for row in json.loads(answer.out)}


def cells(board: Board, queue: str) -> dict[str, str]:
    """The row of a queue, by the columns' titles; by position, for a cell may be empty."""
    head, *lines = board("queues").out.splitlines()
    (line,) = [line for line in lines if line.split()[0] == queue]
    ends = {title: head.index(title) + len(title) for title in head.split()}
    return {title: line[:end].rsplit("  ", 1)[-1].strip() for title, end in ends.items()}


def send(name: str, *, delay: int | None = None, **arguments: object) -> str:
    load_actors(get_settings())
    return str(get_job(name).send_with_options(kwargs=arguments, delay=delay).message_id)


@pytest.fixture
def elsewhere(board: Board) -> Iterator[RedisBroker]:
    """A worker's broker in another process, as far as the server can tell."""
    assert board.folder.exists()
    made = make_broker()
    assert isinstance(made, RedisBroker)
    yield made
    made.close()


def fetch(broker: Transport, queue: str, room: int) -> list[Any]:
    broker.pulse(())
    taken = broker.fetch([Lane((queue,), room)], 1)
    assert len(taken) == room
    return taken


def test_queues_show_what_is_where(board: Board, elsewhere: RedisBroker) -> None:
    board("jobs")
    for _ in range(3):
        send("broken")
    send("broken", delay=60_000)
    fetch(elsewhere, "fast", 2)
    row = listed(board)["fast"]
    assert (row["ready"], row["claimed"], row["delayed"], row["orphaned"]) == (1, 2, 1, 0)
    assert 0 <= row["oldest_ready_seconds"] < 60
    assert (row["paused"], row["limit"], row["workers"], row["dead"]) == (False, None, 0, 0)
    assert listed(board)["slow"]["ready"] == 0
    assert "Nobody works on fast" in board("queues").out


def test_messages_of_a_dead_worker_are_orphaned_and_not_claimed(board: Board, elsewhere: RedisBroker) -> None:
    board("jobs")
    send("broken")
    send("broken")
    (taken, _) = fetch(elsewhere, "fast", 2)
    elsewhere.settle([(taken, Acknowledge())])
    elsewhere.client.zadd(f"{elsewhere.namespace}:leases", {elsewhere.broker_id: 1})
    row = listed(board)["fast"]
    assert (row["claimed"], row["orphaned"]) == (0, 1)


def test_a_paused_queue_gives_nothing_until_it_is_resumed(board: Board, elsewhere: RedisBroker) -> None:
    answer = board("queues", "pause", "fast", "--why", "the printer burns")
    (act,) = json.loads(board("audit", "action:queue.pause", "--json").out)
    assert (act["resource_id"], act["why"]) == ("fast", "the printer burns")
    assert (answer.code, answer.err) == (0, "")
    assert "callboard queues resume fast" in answer.out
    send("broken")
    elsewhere.pulse(())
    assert elsewhere.fetch([Lane(("fast",), 1)], 0) == []
    assert listed(board)["fast"]["paused"] is True
    assert cells(board, "fast")["paused"] == "paused"
    assert cells(board, "slow")["paused"] == ""
    assert "Paused, and taking messages all the same: fast." in board("queues").out
    assert board("queues", "resume", "fast").code == 0
    assert listed(board)["fast"]["paused"] is False
    fetch(elsewhere, "fast", 1)


def test_a_limit_holds_until_it_is_lifted(board: Board, elsewhere: RedisBroker) -> None:
    assert "at most 2 at once" in board("queues", "limit", "fast", "2").out
    for _ in range(3):
        send("broken")
    elsewhere.pulse(())
    assert len(elsewhere.fetch([Lane(("fast",), 3)], 0)) == 2
    assert listed(board)["fast"]["limit"] == 2
    assert cells(board, "fast")["limit"] == "2"
    assert board("queues", "limit", "fast", "none").code == 0
    assert listed(board)["fast"]["limit"] is None
    fetch(elsewhere, "fast", 1)


@pytest.mark.parametrize("bound", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_none_is_refused(board: Board, bound: str) -> None:
    answer = board("queues", "limit", "fast", "--", bound)
    assert answer.code == Exit.USAGE
    assert "write a number from 1, or `none`" in answer.err


def test_a_broker_without_a_limit_over_all_workers_says_so(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "RedisBroker", MemoryBroker)  # as if it were not one
    answer = board("queues", "limit", "fast", "2")
    assert answer.code == Exit.USAGE
    assert "`concurrency=`" in answer.err


@pytest.mark.parametrize("argv", [["pause"], ["resume"], ["limit", "2"], ["delayed"], ["drop", "x.0", "--yes"]])
def test_a_misspelt_queue_is_not_found(board: Board, argv: list[str]) -> None:
    answer = board("queues", argv[0], "fats", *argv[1:])
    assert (answer.code, answer.out) == (Exit.NOT_FOUND, "")
    assert "No queue is called 'fats'; did you mean fast?" in answer.err


def test_the_delayed_are_listed_the_next_one_first(board: Board) -> None:
    board("jobs")
    later = send("needy", project="atlas", delay=7_200_000)
    sooner = send("needy", project="token=sk-ant-api03-abcdefghijklmnop", delay=3_600_000)
    rows = json.loads(board("queues", "delayed", "fast", "--json").out)
    assert [row["delivery"] for row in rows] == [f"{sooner}.0", f"{later}.0"]
    assert [row["job"] for row in rows] == ["needy", "needy"]
    assert rows[0]["due_at"].endswith("Z")
    assert 3500 < rows[0]["in_seconds"] <= 3600
    assert rows[1]["args"] == {"project": "atlas"}
    assert "sk-ant" not in json.dumps(rows)
    assert "now" not in rows[0]
    lines = board("queues", "delayed", "fast", "--limit", "1").out.splitlines()
    assert [line.split()[0] for line in lines] == ["delivery", f"{sooner}.0"]
    assert "in 59 min" in lines[1]
    assert "No message of slow waits" in board("queues", "delayed", "slow").out
    assert json.loads(board("queues", "delayed", "slow", "--json").out) == []


def test_arguments_of_a_job_that_is_not_loaded_are_shown_without_secrets(board: Board) -> None:
    board("jobs")
    load_actors(get_settings())
    message = get_job("needy").message("atlas", limit=3)
    stranger = message.copy(actor_name="stranger", kwargs={"password": "hunter2", "limit": 3})
    get_broker().enqueue(stranger, delay=60_000)
    (row,) = json.loads(board("queues", "delayed", "fast", "--json").out)
    assert (row["job"], row["args"]) == ("stranger", {"args": ["atlas"], "password": "[redacted]", "limit": 3})


def test_a_dropped_message_is_gone_and_its_run_cancelled(board: Board) -> None:
    board("jobs")
    assert board("trigger", "long").code == 0
    with transaction() as connection:
        run_id = str(connection.execute(text("select id from board.runs")).scalar_one())
    answer = board("queues", "drop", "slow", f"{run_id}.0", "--yes")
    assert (answer.code, answer.err) == (0, "")
    assert f"run {run_id[:18]} is cancelled" in answer.out
    assert listed(board)["slow"]["ready"] == 0
    assert state_of(run_id) == "cancelled"
    with transaction() as connection:
        assert connection.execute(text("select count(*) from board.claims")).scalar_one() == 0
    assert board("trigger", "long").code == 0, "its claim is free again"


def test_a_dropped_message_without_a_row_leaves_none(board: Board) -> None:
    board("jobs")
    sent = send("broken", delay=60_000)
    answer = board("queues", "drop", "fast", f"{sent}.0", "-y")
    assert "the ledger had no open run of it" in answer.out
    assert listed(board)["fast"]["delayed"] == 0
    with transaction() as connection:
        assert connection.execute(text("select count(*) from board.runs")).scalar_one() == 0


def test_a_message_that_is_worked_on_cannot_be_dropped(board: Board, elsewhere: RedisBroker) -> None:
    board("jobs")
    sent = send("broken")
    fetch(elsewhere, "fast", 1)
    for delivery in (f"{sent}.0", f"{uuid4()}.0", "nonsense"):
        answer = board("queues", "drop", "fast", delivery, "--yes")
        assert answer.code == Exit.NOT_FOUND
        assert "it may be running, or over" in answer.err
    assert listed(board)["fast"]["claimed"] == 1


def test_a_drop_without_anybody_to_ask_needs_a_yes(board: Board) -> None:
    board("jobs")
    sent = send("broken")
    answer = board("queues", "drop", "fast", f"{sent}.0")
    assert answer.code == Exit.USAGE
    assert "add --yes to do it" in answer.err
    assert listed(board)["fast"]["ready"] == 1


def test_a_broker_that_is_away_leaves_the_ledgers_half(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_BROKER_URL", "redis://127.0.0.1:1")
    answer = board("queues")
    assert answer.code == 0
    assert "The broker does not answer" in answer.err
    assert answer.out.count("?") == 2 * 7
    answer = board("queues", "pause", "fast")
    assert answer.code == Exit.SERVER_AWAY
    assert "the broker cannot be reached" in answer.err
