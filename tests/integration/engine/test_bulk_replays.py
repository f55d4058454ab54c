"""Bulk replays that are left to the workers: their runs, their rows, and what outlives a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from dramatiq.errors import ConnectionClosed

from callboard import Backoff, bulk_replay, current_run, job, transaction
from callboard.broker.codec import decode
from callboard.envelope import facts_of
from callboard.errors import NotFound
from callboard.filters import parse
from callboard.job import Job
from callboard.ledger import bulk_replays
from callboard.ledger.database import get_engine
from callboard.ledger.facts import Started
from callboard.ledger.seal import unseal
from callboard.operations import Who, _bulk_run, replays, runs
from callboard.operations._bulk_run import carry_out
from callboard.operations.letters import replay as replay_letter
from callboard.run import Run, enter_run
from callboard.views.replays import get, latest, under_way
from scheduler.reaper import Reaper
from scheduler.reconciler import Reconciler
from tests.integration.engine.letters import bury
from tests.integration.engine.recorder_kit import recorder
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from callboard.filters import Filter
    from callboard.operations.letters import ReplayEvent
    from callboard.views.replays import ReplayView
    from tests.board import Board

ANNA = Who("manual:user:anna", "10.0.0.7", "browser")
ALL = parse("", "dead_letters")
STARTED = "select count(*) from board.runs where trigger like 'replay:%'"
OPEN = "select count(*) from board.dead_letters where state = 'open'"


@pytest.fixture
def fragile(board: Board) -> Job[..., None]:
    """A job that fails where its argument is 13."""
    bulk_replay.declare(board.broker)

    @job("fragile", retry=Backoff(max_retries=1, base=0.01, cap=0.01))
    def fragile(number: int) -> None:
        if number == 13:
            raise ValueError("out of paper")

    return fragile


def many(count: int) -> list[tuple[object, ...]]:
    return [(number,) for number in range(count)]


def start(chosen: Filter, **asked: Any) -> ReplayView:  # noqa: ANN401 - the options
    return get(replays.start(chosen, **asked))


def stop(number: int) -> ReplayView:
    replays.stop(number, who=ANNA)
    return get(number)


def over(number: int) -> ReplayView:
    """The bulk replay, once nothing more happens."""
    eventually(lambda: get(number).over, 20)
    return get(number)


def each_once(board: Board, letters: list[int]) -> bool:
    triggers = board.query("select trigger from board.runs where trigger like 'replay:%' order by id")
    return sorted(row.trigger for row in triggers) == sorted(f"replay:{letter}" for letter in letters)


def test_a_run_replays_them_and_reports(board: Board, fragile: Job[..., None]) -> None:
    letters = bury(fragile, many(12))
    asked = start(ALL, who=ANNA, why="paper came")
    assert (asked.state, asked.total, asked.dealt_with, asked.over) == ("pending", 12, 0, False)
    assert asked.run_id.version == 7  # its row stands in the index beside those of its time
    with transaction() as connection:
        assert [one.id for one in under_way(connection)] == [asked.id]
    with board.worker():
        told = over(asked.id)
        eventually(lambda: board.one("select count(*) from board.runs where state = 'completed'") == 13)
    assert (told.state, told.result, told.replayed, told.refused, told.run_id) == ("done", "done", 12, 0, asked.run_id)
    assert each_once(board, letters)
    run = board.query("select * from board.runs where id = :id", id=told.run_id)[0]
    assert (run.job, run.trigger, run.counts) == (bulk_replay.NAME, ANNA.name, {"replayed": 12, "refused": 0})
    assert run.progress == {"processed": 12, "total": 12, "message": "12 replayed, 0 refused"}
    settled = board.query("select distinct settled_by, settled_why from board.dead_letters")
    assert [tuple(row) for row in settled] == [(ANNA.name, "paper came")]
    audited = board.query("select action, who, ip, agent, why, detail from board.audit order by id")
    assert [row.action for row in audited] == ["dead_letter.replay_all", "dead_letter.replay"]
    assert {(row.who, row.ip, row.agent, row.why) for row in audited} == {
        (ANNA.name, ANNA.ip, ANNA.agent, "paper came")
    }
    assert audited[0].detail["run_id"] == str(told.run_id)
    with transaction() as connection:
        assert (under_way(connection), [one.id for one in latest(connection, limit=5)]) == ([], [asked.id])


class _Killed(BaseException):
    """The process is gone."""


def killed_after(batches: int, monkeypatch: pytest.MonkeyPatch, *, committed: bool) -> Callable[[], None]:
    """Let a process die in a batch: before its commit, or behind it, when nothing was sent yet."""
    done = []
    save, send = bulk_replays.save, "callboard.operations._bulk_replay.send"

    def dies(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever it stands before
        done.append(1)
        if len(done) > batches:
            raise _Killed
        if not committed:
            save(*args, **kwargs)

    monkeypatch.setattr(send if committed else "callboard.ledger.bulk_replays.save", dies)
    return monkeypatch.undo


@pytest.mark.parametrize("committed", [True, False])
def test_what_a_killed_one_has_done_is_not_done_again(
    board: Board,
    fragile: Job[..., None],
    monkeypatch: pytest.MonkeyPatch,
    *,
    committed: bool,
) -> None:
    letters = bury(fragile, many(1200))
    asked = start(ALL, who=ANNA, limit=1100)
    first, second = (Run(bulk_replay.NAME, id=asked.run_id) for _ in range(2))
    mend = killed_after(1 if committed else 2, monkeypatch, committed=committed)  # `taken_on` saves too
    enter_run(first)
    with pytest.raises(_Killed):
        carry_out(asked.id)
    mend()
    there = board.one(STARTED)
    assert there == (1000 if committed else 500)
    assert get(asked.id).replayed == there
    enter_run(second)
    carry_out(asked.id)
    enter_run(None)
    told = get(asked.id)
    assert (told.result, told.replayed, told.refused) == ("done", 1100, 0)
    assert second.counts == {"replayed": 1100, "refused": 0}
    assert each_once(board, letters[:1100])
    assert board.one(OPEN) == 100


def test_one_that_was_taken_for_dead_and_its_successor_share_the_work(board: Board, fragile: Job[..., None]) -> None:
    letters = bury(fragile, many(1200))
    asked = start(ALL, who=ANNA)
    old, new = Run(bulk_replay.NAME, id=asked.run_id), Run(bulk_replay.NAME, id=asked.run_id)
    enter_run(old)
    held = replays_of(asked.id)
    next(held)  # it has done its first batch, and hangs
    enter_run(new)
    carry_out(asked.id)
    assert list(held)[-1].run_id is not None  # the rest of its own batch, and no letter more
    enter_run(None)
    assert get(asked.id).replayed == 1200
    assert new.counts == {"replayed": 1200, "refused": 0}
    assert each_once(board, letters)


def replays_of(number: int) -> Iterator[ReplayEvent]:
    with transaction() as connection:
        row = bulk_replays.taken_on(connection, number, current_run().id)
    return _bulk_run._bulk(row, current_run()).events(canary=row["canary"])


def test_a_canary_is_awaited_again_and_not_sent_again(board: Board, fragile: Job[..., None]) -> None:
    letters = bury(fragile, many(3))
    asked = start(ALL, who=ANNA, canary=True)
    enter_run(Run(bulk_replay.NAME, id=asked.run_id))
    next(replays_of(asked.id))  # killed while its run was awaited
    assert board.one(STARTED) == 1
    with board.worker():
        told = over(asked.id)
        eventually(lambda: board.one("select count(*) from board.runs where state = 'completed'") == 4)
    assert (told.result, told.replayed, told.canary_ok) == ("done", 3, True)
    assert each_once(board, letters)


@pytest.mark.parametrize("canary", [True, False])
def test_it_ends_where_the_cause_is_still_there(board: Board, fragile: Job[..., None], *, canary: bool) -> None:
    bury(fragile, [(13,)] * 20)
    asked = start(ALL, who=ANNA, canary=canary, rate=20)
    with board.worker():
        told = over(asked.id)
        run = eventually(lambda: board.query("select * from board.runs where id = :id and state = 'completed'",
                                             id=asked.run_id))[0]  # fmt: skip
    assert (told.state, told.result) == ("stopped", "canary_failed" if canary else "same_failure")
    assert told.left == 20 - told.replayed > 0
    assert "out of paper" in told.detail
    assert run.notes == {"ended": told.result, "why": told.detail, "left": told.left}


def test_it_is_stopped_before_it_begins_and_while_it_runs(board: Board, fragile: Job[..., None]) -> None:
    bury(fragile, many(30))
    never = start(ALL, who=ANNA)
    assert stop(never.id).state == "stopped"
    with pytest.raises(NotFound, match="is over: cancelled"):
        replays.stop(never.id, who=ANNA)
    slow = start(ALL, who=ANNA, rate=10)
    with board.worker():
        eventually(lambda: get(slow.id).replayed > 0)
        assert stop(slow.id).state in ("stopping", "stopped")
        told = over(slow.id)
        eventually(lambda: board.one("select state from board.runs where id = :id", id=slow.run_id) == "cancelled")
    assert (told.state, told.result, told.detail) == ("stopped", "stopped", "asked to stop")
    assert told.left == 30 - told.replayed == board.one(OPEN) > 0


def test_what_is_refused_is_told_with_its_reason_and_stays_open(board: Board, fragile: Job[..., None]) -> None:
    letters = bury(fragile, many(4))
    board.execute("update board.dead_letters set payload = 'no json'::bytea where id = :id", id=letters[1])
    asked = start(parse(f"id:{letters[0]},{letters[1]} state:*", "dead_letters"), who=ANNA)
    with board.worker():
        told = over(asked.id)
    assert (told.total, told.replayed, told.refused, board.one(OPEN)) == (2, 1, 1, 3)
    assert ["holds no message" in why for why in told.refusals] == [True]


def test_without_a_broker_it_waits_for_the_scheduler(
    board: Board,
    fragile: Job[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bury(fragile, many(2))

    def away(*_: object, **__: object) -> None:
        raise ConnectionClosed(ConnectionError("away"))

    with monkeypatch.context() as patch:
        patch.setattr(board.broker, "enqueue", away)
        asked = start(ALL, who=ANNA)
    settings = board.settings.model_copy(update={"recovery_seconds": 0.001})
    Reconciler(get_engine(), board.broker, settings, lambda: True)._tick()
    with board.worker():
        assert over(asked.id).replayed == 2


def test_its_own_dead_letter_goes_on_with_it(board: Board, fragile: Job[..., None]) -> None:
    bury(fragile, many(3))
    asked = start(ALL, who=ANNA)
    runs.cancel(asked.run_id, who=ANNA)
    board.execute("update board.bulk_replays set place = 1, replayed = 1")
    again = bulk_replay.declare(board.broker).send(asked.id)
    with board.worker():
        eventually(lambda: get(asked.id).result, 20)
    told = get(asked.id)
    assert (str(told.run_id), told.result) == (again.message_id, "done")


def killed_in_it(board: Board, asked: ReplayView) -> None:
    """A worker starts its run, replays a batch, and dies; the reaper finds out."""
    row = board.query("select payload, queue from board.runs where id = :id", id=asked.run_id)[0]
    message, _ = decode(unseal(bytes(row.payload)), row.queue)
    assert message is not None
    facts = facts_of(message, bulk_replay.declare(board.broker).spec)
    assert isinstance(recorder(board, lease=-1).start(facts), Started)
    enter_run(Run(bulk_replay.NAME, id=asked.run_id))
    next(replays_of(asked.id))
    enter_run(None)
    Reaper(get_engine(), board.broker, board.settings, lambda: True).tick()


def test_the_letter_of_one_that_killed_three_workers_goes_on_where_it_was(
    board: Board, fragile: Job[..., None]
) -> None:
    letters = bury(fragile, [(1,)] * 100)
    asked = start(ALL, who=ANNA, rate=100)  # in batches of 20
    for deaths in (1, 2, 3):
        killed_in_it(board, asked)
        assert board.one("select crashes from board.runs where id = :id", id=asked.run_id) == deaths
        assert get(asked.id).replayed == 20 * deaths
    with board.worker():
        assert over(asked.id).state == "failed"
        (poison,) = board.query("select id, kind, job from board.dead_letters where run_id = :id", id=asked.run_id)
        assert (poison.kind, poison.job) == ("poison", bulk_replay.NAME)
        assert (get(asked.id).replayed, board.one(OPEN)) == (60, 41)
        made = replay_letter(poison.id, who=ANNA)
        eventually(lambda: get(asked.id).result, 20)
        told = over(asked.id)
    assert (told.run_id, told.result, told.replayed) == (made.id, "done", 100)
    assert each_once(board, [*letters, poison.id])


def test_one_that_is_gone_is_given_up_at_once(board: Board) -> None:
    sent = bulk_replay.declare(board.broker).send(99)
    with board.worker():
        eventually(lambda: board.one("select state from board.runs where id = :id", id=sent.message_id) == "failed")
    assert board.one("select attempts from board.dead_letters") == 1
    with pytest.raises(NotFound, match="No bulk replay has the id 99"):
        get(99)
