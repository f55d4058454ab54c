"""What operators do with the whole board, on real runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis

from callboard.ledger import schedules as ledger_schedules
from callboard.ledger.database import transaction
from callboard.operations import Who, runs
from tests.console.api.caller import Api, ok
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.board import Board


@pytest.fixture
def page(api: Api) -> httpx.Client:
    """An operator who is signed in."""
    return api.signed_in(role="operator")


@pytest.fixture
def fail(board: Board) -> Callable[..., list[str]]:
    """Runs of `broken` that have failed for good; their ids."""

    def make(count: int = 1, **kwargs: object) -> list[str]:
        made = [str(runs.trigger("broken", kwargs, who=Who("test")).id) for _ in range(count)]
        with board.worker():
            eventually(lambda: board.one("select count(*) from board.runs where state = 'failed'") >= count)
        return made

    return make


def _schedule(*jobs: str) -> None:
    rows = [{"job": job, "queue": "upkeep", "cadence": "0 2 * * *", "interval_seconds": 86400.0} for job in jobs]
    with transaction() as connection:
        ledger_schedules.declare(connection, rows, now=datetime.now(UTC))


def test_a_run_is_asked_for_listed_told_and_cancelled(page: httpx.Client, board: Board) -> None:
    made = ok(page.post("/v1/jobs/trigger", json={"job": "load", "args": {"items": 7}, "why": "to see"}), 201)

    told = ok(page.get("/v1/runs", params={"filter": "job:load state:pending", "count": "true"}))
    assert [one["id"] for one in told["items"]] == [made["id"]]
    assert told["count"] == {"number": 1, "exact": True}
    story = ok(page.get(f"/v1/runs/{made['id'][:18]}"))
    assert (story["args"], story["parent"], story["letter"]) == ({"items": 7}, None, None)
    assert [one["kind"] for one in story["waits"]] == ["no_worker"]
    assert ok(page.post(f"/v1/runs/{made['id']}/cancel", json={})) == {"cancelled": True, "state": "cancelled"}
    assert "neither pending nor running" in ok(page.post(f"/v1/runs/{made['id']}/cancel", json={}), 404)["error"]
    assert board.query("select action, why from board.audit where action like 'run.%' order by id") == [
        ("run.trigger", "to see"),
        ("run.cancel", ""),
    ]


def test_what_is_asked_for_wrongly_names_the_mend(page: httpx.Client) -> None:
    assert "did you mean load" in ok(page.post("/v1/jobs/trigger", json={"job": "laod"}), 404)["error"]
    wrong = page.post("/v1/jobs/trigger", json={"job": "load", "args": {"itms": 7}})
    assert "itms" in ok(wrong, 400)["error"]
    refused = ok(page.get("/v1/runs", params={"filter": "stat:failed"}), 400)
    assert "state" in refused["error"]
    assert refused["field"] == "filter"
    assert ok(page.get("/v1/runs", params={"limit": 0}), 422)["field"] == "limit"
    ok(page.get("/v1/runs/no-such-run"), 422)
    for nearly in ("----", "0" * 36, "1052ffae2fbbe867c3be-c23e5abcbeb3900"):
        assert "is no run id" in ok(page.get(f"/v1/runs/{nearly}"), 404)["error"]
    ok(page.get("/v1/nothing-here"), 404)
    ok(page.put("/v1/runs"), 405)


def test_all_runs_of_a_filter_are_cancelled_bit_by_bit(page: httpx.Client, board: Board) -> None:
    for items in range(5):
        runs.trigger("load", {"items": items}, who=Who("test"))
    runs.trigger("broken", {}, who=Who("test"))
    asked = {"filter": "job:load", "limit": 3, "why": "a mistake"}

    assert ok(page.post("/v1/runs/cancel", json=asked)) == {"cancelled": 3, "requested": 0, "has_more": True}
    assert ok(page.post("/v1/runs/cancel", json=asked)) == {"cancelled": 2, "requested": 0, "has_more": False}
    assert ok(page.post("/v1/runs/cancel", json=asked)) == {"cancelled": 0, "requested": 0, "has_more": False}
    assert board.query("select job, count(*) from board.runs where state = 'pending' group by 1") == [("broken", 1)]
    ok(page.post("/v1/runs/cancel", json={"filter": ""}), 422)  # nobody means every run by saying nothing


def test_jobs_queues_workers_and_the_whole(page: httpx.Client, board: Board) -> None:
    jobs = {one["job"]: one for one in ok(page.get("/v1/jobs"))["items"]}
    assert jobs["prune"]["cadence"] == "0 2 * * *"
    assert jobs["sync_project"]["scope"] == "project"
    assert jobs["sync_project"]["arguments"] == ["project_id", "pages", "token"]
    runs.trigger("load", {}, who=Who("test"))
    upkeep = ok(page.get("/v1/queues/upkeep"))
    assert (upkeep["ready"], upkeep["pending"], upkeep["paused"], upkeep["limit"]) == (1, 1, False, None)
    assert ok(page.post("/v1/queues/upkeep/pause", json={"why": "a deploy"}))["paused"] is True
    assert ok(page.post("/v1/queues/upkeep/limit", json={"limit": 3}))["limit"] == 3
    assert ok(page.post("/v1/queues/upkeep/limit", json={"limit": None}))["limit"] is None
    assert ok(page.post("/v1/queues/upkeep/resume", json={}))["paused"] is False
    assert "did you mean upkeep" in ok(page.post("/v1/queues/upkep/pause", json={}), 404)["error"]
    assert ok(page.get("/v1/workers")) == {"items": []}
    overview = ok(page.get("/v1/overview"))
    assert (overview["counts"]["pending"], overview["counts"]["dead_letters"]) == (1, 0)
    assert len(ok(page.get("/v1/metrics/trends", params={"hours": 2}))["items"]) >= 120
    told = board.query("select action, why from board.audit where resource_type = 'queue' order by id")
    assert told[0] == ("queue.pause", "a deploy")
    assert len(told) == 4


def test_the_ledgers_half_is_told_while_the_broker_is_away(
    page: httpx.Client, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise redis.ConnectionError("Connection refused to secret.internal:6379")

    monkeypatch.setattr(type(board.broker), "depths", away)
    monkeypatch.setattr(type(board.broker), "pause", away)

    told = ok(page.get("/v1/queues"))
    assert told["broker_error"]
    assert {one["ready"] for one in told["items"]} == {None}
    answer = page.post("/v1/queues/upkeep/pause", json={})
    assert answer.headers["retry-after"]
    assert "broker does not answer" in ok(answer, 503)["error"]


def test_a_schedule_is_paused_resumed_and_run_now(page: httpx.Client, board: Board) -> None:
    _schedule("prune", "tidy")

    assert [one["job"] for one in ok(page.get("/v1/schedules"))["items"]] == ["prune", "tidy"]
    paused = ok(page.post("/v1/schedules/prune/pause", json={"why": "an audit"}))
    assert paused["paused_by"].startswith("manual:user:")
    assert paused["next_fires"] == []
    assert len(ok(page.post("/v1/schedules/prune/resume", json={}))["next_fires"]) == 10
    made = ok(page.post("/v1/schedules/prune/run", json={}), 201)
    again = ok(page.post("/v1/schedules/prune/run", json={}), 409)
    assert again["existing_run_id"] == made["id"]
    assert board.one("select count(*) from board.runs where job = 'prune'") == 1
    ok(page.get("/v1/schedules/never"), 404)
    ok(page.post("/v1/schedules/load/run", json={}), 404)  # it has no schedule


def test_a_failure_is_told_and_retried(page: httpx.Client, fail: Callable[..., list[str]]) -> None:
    (run_id,) = fail()

    (failure,) = ok(page.get("/v1/failures", params={"filter": "job:broken"}))["items"]
    assert (failure["run_id"], failure["error"], failure["retryable"]) == (run_id, "the disk is full", False)
    detail = ok(page.get(f"/v1/failures/{failure['id']}"))
    assert "PermanentError" in detail["traceback"]
    (refused,) = ok(page.post("/v1/failures/retry", json={"ids": [failure["id"]]}))["items"]
    assert refused["result"] == "refused"
    (retried,) = ok(page.post("/v1/failures/retry", json={"filter": "job:broken", "force": True}))["items"]
    assert retried["result"] == "retried"
    assert ok(page.post("/v1/failures/retry", json={}), 400)["field"] == "ids"
    ok(page.post("/v1/failures/retry", json={"ids": [1], "filter": "job:broken"}), 400)
    ok(page.get("/v1/failures/999999"), 404)


def test_an_issue_is_taken_resolved_reopened_and_silenced(page: httpx.Client, fail: Callable[..., list[str]]) -> None:
    fail(2)
    (issue,) = ok(page.get("/v1/issues", params={"filter": "status:open"}))["items"]
    assert issue["occurrences"] == 2
    act = f"/v1/issues/{issue['id']}"

    assert ok(page.post(f"{act}/take", json={}))["status"] == "pending"
    resolved = ok(page.post(f"{act}/resolve", json={"why": "disk cleared"}))
    assert (resolved["status"], resolved["note"]) == ("resolved", "disk cleared")
    assert ok(page.post(f"{act}/reopen", json={}))["status"] == "open"
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    assert ok(page.post(f"{act}/silence", json={"until": until}))["silenced_until"] is not None
    assert ok(page.post(f"{act}/silence", json={"until": None}))["silenced_until"] is None
    assert "is over" in ok(page.post(f"{act}/silence", json={"until": "2020-01-01T00:00:00Z"}), 400)["error"]
    ok(page.post(f"{act}/silence", json={"until": "2020-01-01T00:00:00"}), 422)  # of which zone?
    ok(page.post("/v1/issues/999999/take", json={}), 404)


def test_a_letter_is_replayed_once_with_other_arguments_and_knows_its_kin(
    page: httpx.Client, board: Board, fail: Callable[..., list[str]]
) -> None:
    (run_id,) = fail()
    (letter,) = ok(page.get("/v1/dead-letters"))["items"]
    assert (letter["run_id"], letter["state"]) == (run_id, "open")

    asked = {"args": {"mended": True}, "why": "disk cleared"}
    made = ok(page.post(f"/v1/dead-letters/{letter['id']}/replay", json=asked), 201)

    again = ok(page.post(f"/v1/dead-letters/{letter['id']}/replay", json=asked), 409)
    assert "was replayed at" in again["error"]
    story = ok(page.get(f"/v1/dead-letters/{letter['id']}"))
    assert (story["replay_run_id"], story["settled_why"]) == (made["id"], "disk cleared")
    assert story["replay_args"] == {"mended": True}
    assert [one["error"] for one in story["history"]] == ["the disk is full"]
    assert [one["id"] for one in story["lineage"]] == [letter["id"]]
    with board.worker():
        eventually(lambda: ok(page.get(f"/v1/runs/{made['id']}"))["state"] == "completed")
    assert ok(page.get(f"/v1/runs/{made['id']}"))["replayed_from"]["id"] == letter["id"]
    assert "payload" not in json.dumps(story)


def test_letters_are_counted_before_they_are_replayed_and_discarded(
    page: httpx.Client, board: Board, fail: Callable[..., list[str]]
) -> None:
    fail(6)
    plan = ok(page.post("/v1/dead-letters/plan", json={"filter": "job:broken"}))
    assert (plan["count"], plan["by_job"]) == (6, {"broken": 6})

    some = _events(page, {"filter": "job:broken", "limit": 4, "stop_on_same": False})
    assert [one["result"] for one in some] == ["replayed"] * 4
    assert {one["run_id"] for one in some} == {str(row.id) for row in _replays(board)}
    assert ok(page.post("/v1/dead-letters/discard", json={"filter": "job:broken", "why": "old"})) == {"discarded": 2}
    assert _events(page, {"filter": "job:broken"}) == []
    (letter,) = ok(page.get("/v1/dead-letters", params={"filter": "state:discarded", "limit": 1}))["items"]
    assert "was discarded at" in ok(page.post(f"/v1/dead-letters/{letter['id']}/discard", json={}), 409)["error"]


def _replays(board: Board) -> Any:  # noqa: ANN401 - rows
    return board.query("select id from board.runs where trigger like 'replay:%'")


def _events(page: httpx.Client, asked: dict[str, object]) -> list[dict[str, Any]]:
    with page.stream("POST", "/v1/dead-letters/replay", json=asked) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.iter_lines()]


def test_a_bulk_replay_ends_when_nobody_reads_it_any_more(
    page: httpx.Client, board: Board, fail: Callable[..., list[str]]
) -> None:
    fail(30)
    asked = {"filter": "job:broken", "rate": 20, "stop_on_same": False}
    with page.stream("POST", "/v1/dead-letters/replay", json=asked) as answer:
        next(answer.iter_lines())

    def over() -> bool:
        """The letters are held no more, and less than all of them were replayed."""
        seen = len(_replays(board))
        return (
            eventually(lambda: len(_replays(board)) >= seen)
            and board.one(
                "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
            )
            == 0
        )

    eventually(over)
    done = len(_replays(board))
    assert 0 < done < 30
    assert board.one("select count(*) from board.dead_letters where state = 'open'") == 30 - done
    # Asking again goes on with the rest, and replays none of them twice.
    rest = _events(page, {"filter": "job:broken", "stop_on_same": False})
    assert board.one("select count(*) from board.dead_letters where state = 'open'") == 0
    assert len(_replays(board)) == 30
    assert len(rest) <= 30 - done


def test_a_bulk_replay_is_left_to_the_workers_watched_and_stopped(
    page: httpx.Client, board: Board, fail: Callable[..., list[str]]
) -> None:
    fail(4)
    asked = ok(page.post("/v1/replays", json={"filter": "job:broken", "why": "mended", "limit": 2}), 201)
    assert (asked["state"], asked["total"], asked["replayed"], asked["limit"]) == ("pending", 2, 0, 2)
    second = ok(page.post("/v1/replays", json={"filter": "job:broken"}), 201)
    assert ok(page.post(f"/v1/replays/{second['id']}/stop", json={"why": "one is enough"}))["state"] == "stopped"
    assert "is over" in ok(page.post(f"/v1/replays/{second['id']}/stop", json={}), 404)["error"]
    with board.worker():
        eventually(lambda: ok(page.get(f"/v1/replays/{asked['id']}"))["state"] == "done")
    told = ok(page.get("/v1/replays", params={"limit": 5}))["items"]
    assert [(one["id"], one["state"], one["replayed"]) for one in told] == [
        (second["id"], "stopped", 0),
        (asked["id"], "done", 2),
    ]
    assert len(_replays(board)) == 2
    ok(page.get("/v1/replays/99"), 404)
    assert "job" in ok(page.post("/v1/replays", json={"filter": "jb:broken"}), 400)["error"]


def test_a_replay_that_cannot_begin_has_a_status_of_its_own(page: httpx.Client) -> None:
    asked = {"filter": "jb:broken"}
    assert "job" in ok(page.post("/v1/dead-letters/replay", json=asked), 400)["error"]
    ok(page.post("/v1/dead-letters/replay", json={"filter": "job:x", "rate": 0}), 422)
    ok(page.post("/v1/dead-letters/replay", json={}), 422)


def test_the_audit_tells_who_did_what_from_where(page: httpx.Client) -> None:
    for _ in range(3):
        ok(page.post("/v1/queues/upkeep/pause", json={"why": "a deploy"}), 200)
    asked: dict[str, Any] = {"filter": "action:queue.pause resource:upkeep", "limit": 2}

    told = ok(page.get("/v1/audit", params=asked))
    rest = ok(page.get("/v1/audit", params=asked | {"cursor": told["cursor"]}))

    assert [len(told["items"]), told["has_more"], len(rest["items"]), rest["has_more"]] == [2, True, 1, False]
    (entry,) = rest["items"]
    assert (entry["why"], entry["ip"], entry["resource_type"]) == ("a deploy", "127.0.0.1", "queue")
    assert entry["who"].startswith("manual:user:")
    assert entry["agent"].startswith("python-httpx/")
