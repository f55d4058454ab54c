"""The reconciler: what the ledger holds and the broker lost is sent again, and nothing else is."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from callboard import Backoff, job, transaction
from callboard.broker.memory import MemoryBroker
from callboard.compose import make_broker
from callboard.dispatch import insert, message_for
from callboard.envelope import KEY
from callboard.ledger.database import get_engine
from callboard.middleware import stack
from scheduler.reconciler import Reconciler
from tests.board import Board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

    from callboard import Job
    from callboard.broker import Transport


BEGUN = "select count(*) from board.runs where attempt > 0 and state <> 'running'"


def reconciler(board: Board, broker: Transport | None = None, *, leads: bool = True) -> Reconciler:
    return Reconciler(get_engine(), broker or board.broker, board.settings, lambda: leads)


def ready(board: Board) -> int:
    return board.broker.depths(["default"])["default"].ready


def durable_job(name: str = "durable") -> Job[[], None]:
    return job(name, durable=True)(lambda: None)


def pending(board: Board, declared: Job[[], None], count: int, *, sent: bool = True, age: float = 60) -> list[str]:
    """Durable runs that are `age` seconds old, with or without their messages in the broker; their ids in order."""
    messages = [message_for(declared, trigger="test") for _ in range(count)]
    messages = [one.copy(message_timestamp=one.message_timestamp - int(age * 1000)) for one in messages]
    with transaction() as connection:
        for message in messages:
            message.options[KEY]["eligible_at"] -= age
            insert(connection, message, declared.spec)
    if sent:
        board.broker.enqueue_many(messages)
        board.execute("update board.runs set enqueued_at = created_at where enqueued_at is null")
    return [message.message_id for message in messages]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_durable_run_whose_message_the_broker_lost_is_sent_again(board: Board, retries: int) -> None:
    (run_id,) = pending(board, durable_job(), 1)
    delivery = f"{run_id}.{retries}"
    board.execute("update board.runs set delivery = :delivery", delivery=delivery)
    board.broker.client.flushall()  # type: ignore[attr-defined]  # Redis's
    loop = reconciler(board)
    loop.tick()
    assert ready(board) == 1
    assert board.broker.has([("default", delivery)]) == [True]
    assert board.one("select history -> 0 ->> 'event' from board.runs") == "sent again"
    loop.tick()
    assert ready(board) == 1
    assert board.one("select jsonb_array_length(history) from board.runs") == 1


def test_a_run_whose_message_is_there_is_left_alone(board: Board) -> None:
    pending(board, durable_job(), 3)
    reconciler(board).tick()
    assert ready(board) == 3
    assert board.one("select count(*) from board.runs where history is not null") == 0


def test_what_is_done_while_the_broker_is_asked_is_not_sent_again(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a run that has completed, nor one whose first attempt failed and that waits for its second."""

    @job("fragile", durable=True, retry=Backoff(max_retries=1, base=60, cap=60))
    def fragile() -> None:
        raise OSError("out of paper")

    pending(board, durable_job(), 3)
    pending(board, fragile, 1)
    (lost,) = pending(board, durable_job("lost"), 1, sent=False, age=20)
    loop = reconciler(board)
    suspects = loop._suspects

    def list_and_work_off() -> Sequence[RowMapping]:
        found = suspects()
        with board.worker():
            eventually(
                lambda: board.one("select count(*) from board.runs where attempt > 0 and state <> 'running'") == 4
            )
        return found

    monkeypatch.setattr(loop, "_suspects", list_and_work_off)
    loop.tick()
    assert board.query("select id::text from board.runs where history::text like '%sent again%'") == [(lost,)]
    assert ready(board) == 1


def test_only_a_leader_sends_again(board: Board) -> None:
    pending(board, durable_job(), 1, sent=False)
    reconciler(board, leads=False).tick()
    assert ready(board) == 0


def test_what_is_young_delayed_running_or_over_is_no_suspect(board: Board) -> None:
    ids = pending(board, durable_job(), 5, sent=False)
    changes = (
        "created_at = now()",
        "eligible_at = now() + interval '1 h'",
        "retry_at = now() + interval '1 h'",
        "state = 'running'",
        "state = 'completed'",
    )
    for run_id, change in zip(ids, changes, strict=True):
        board.execute(f"update board.runs set {change} where id = cast(:id as uuid)", id=run_id)
    reconciler(board).tick()
    assert ready(board) == 0


def test_a_lost_run_behind_thousands_that_wait_is_found(board: Board) -> None:
    declared = durable_job()
    pending(board, declared, 2500)
    (lost,) = pending(board, declared, 1, sent=False, age=20)
    reconciler(board).tick()
    assert board.query("select id::text from board.runs where history is not null") == [(lost,)]
    assert ready(board) == 2501


def test_a_long_queue_is_looked_through_over_several_rounds(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.reconciler._PAGE", 2)
    monkeypatch.setattr("scheduler.reconciler._QUIET_PAGES", 2)
    declared = durable_job()
    pending(board, declared, 6)
    pending(board, declared, 1, sent=False, age=20)
    loop = reconciler(board)
    loop.tick()
    assert ready(board) == 6
    loop.tick()
    assert ready(board) == 7
    board.broker.client.flushall()  # type: ignore[attr-defined]  # Redis's
    loop.tick()
    assert ready(board) == 6, "from the beginning again, and in one round, for each page has losses"


def test_a_broker_that_lost_five_thousand_runs_is_filled_again_in_one_round(board: Board) -> None:
    pending(board, durable_job(), 5000)
    board.broker.client.flushall()  # type: ignore[attr-defined]  # Redis's
    began = time.monotonic()
    reconciler(board).tick()
    assert time.monotonic() - began < 20
    assert ready(board) == 5000
    assert board.one("select count(*) from board.runs where history -> 0 ->> 'event' = 'sent again'") == 5000
    with board.worker(threads=8):
        eventually(lambda: board.one("select count(*) from board.runs where state = 'completed'") == 5000, 60)
    assert board.query("select count(*), max(attempt) from board.runs") == [(5000, 1)]


def test_one_that_cannot_be_sent_does_not_hold_back_the_others(
    board: Board, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    ids = pending(board, durable_job(), 4, sent=False)
    board.execute("update board.runs set payload = 'x' where id = cast(:id as uuid)", id=ids[0])
    payload = json.loads(bytes(board.one("select payload from board.runs where id = cast(:id as uuid)", id=ids[1])))
    payload["kwargs"]["big"] = "x" * 300_000
    board.execute(
        "update board.runs set payload = convert_to(:body, 'utf8') where id = cast(:id as uuid)",
        body=json.dumps(payload),
        id=ids[1],
    )
    reconciler(board).tick()
    said = capsys.readouterr().out + caplog.text
    assert said.count("run.cannot_be_sent") == 2
    assert "message_max_bytes".upper() in said
    assert ready(board) == 2
    sent = board.query("select id::text from board.runs where history is not null")
    assert {row.id for row in sent} == set(ids[2:])


def test_a_broker_that_is_away_is_asked_again_in_the_next_round(board: Board) -> None:
    pending(board, durable_job(), 1, sent=False)
    away = make_broker("redis://127.0.0.1:1")
    reconciler(board, away).tick()
    assert board.one("select history is null from board.runs")
    reconciler(board).tick()
    assert ready(board) == 1
    away.close()


class Blind(MemoryBroker):
    """A broker that cannot be asked what it holds, as RabbitMQ's cannot."""

    knows_contents = False


def test_a_broker_that_cannot_be_asked_gets_what_it_never_took_and_what_is_long_overdue(board: Board) -> None:
    declared = durable_job()
    (old,) = pending(board, declared, 1, age=660)
    (fresh,) = pending(board, declared, 1)
    (never,) = pending(board, declared, 1, sent=False)
    blind = Blind(middleware=stack())
    loop = reconciler(board, blind)
    loop.tick()
    loop.tick()
    assert blind.depths(["default"])["default"].ready == 2
    assert blind.has([("default", f"{run_id}.0") for run_id in (never, fresh, old)]) == [True, False, True]
