"""The stream of live updates, on the real server and the real Postgres."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import APIRouter

from callboard import job, news
from callboard.accounts import sign_in
from callboard.ledger.database import transaction
from callboard.operations import Who, accounts, audit
from console.app import make_app
from console.live import Hub
from console.live.rights import Credential, Hearing
from console.live.stream import EventStream
from tests.console.kit import add_project, add_user, serving_app, session_of, signed_in
from tests.console.sse import Ears
from tests.support import eventually

if TYPE_CHECKING:
    from uuid import UUID

    from starlette.types import Message

    from console.server import ConsoleServer
    from tests.board import Board

LISTENING = "select pid from pg_stat_activity where application_name = 'callboard-console-live' and state = 'idle'"


def tell(*topics: news.Topic, project_ids: tuple[str, ...] | None = ()) -> None:
    with transaction() as connection:
        news.tell(connection, *topics, project_ids=project_ids)


def listen(server: ConsoleServer, user_id: UUID, topics: str = "", **headers: str) -> Ears:
    cookies = {"callboard": session_of(user_id)}
    return Ears(server.url, params={"topics": topics}, cookies=cookies, headers=headers)


@pytest.fixture
def hub(console: ConsoleServer) -> Hub:
    """The hub of the console, which hears."""
    hub: Hub = console._app.state.hub
    eventually(lambda: hub.hears, what="the LISTEN")
    return hub


def test_what_is_committed_is_told_and_what_is_rolled_back_is_not(console: ConsoleServer, hub: Hub) -> None:
    with listen(console, add_user()) as ears:
        assert ears.response.headers["content-type"].startswith("text/event-stream")
        assert ears.response.headers["cache-control"] == "no-store, no-transform"
        assert (ears.first.retry, ears.first.id) == ("2000", hub.position)
        with transaction() as connection:
            news.tell(connection, "issues_changed")
            connection.rollback()
        tell("profiles_table_changed", project_ids=("p1",))
        event = ears.next()
        assert event.name == event.data["topic"] == "profiles_table_changed"
        assert event.data["payload"] == {"project_ids": ["p1"]}
        assert event.data["sent_at"].endswith("Z")
        assert event.id == hub.position


def test_an_act_is_told_by_what_it_was_done_to(console: ConsoleServer, hub: Hub) -> None:
    with listen(console, add_user(), "jobs_changed, issues_changed") as ears:
        with transaction() as connection:
            audit(connection, Who("cli:test"), "queue.pause", ("queue", "mail"))
        event = ears.next()
        assert (event.name, event.data["payload"]) == ("jobs_changed", {"project_ids": [""]})
        with transaction() as connection:
            audit(connection, Who("cli:test"), "team.create", ("team", "t"))
            audit(connection, Who("cli:test"), "issue.resolve", ("issue", 7))
        assert ears.next().name == "issues_changed"
        with transaction() as connection:
            audit(connection, Who("cli:test"), "dead_letter.replay", ("dead_letter", "job:sync_*"))
        event = ears.next()
        assert (event.name, event.data["payload"]) == ("jobs_changed", {"project_ids": None}), "by a filter: any"
    assert hub.hears


def test_runs_of_a_worker_are_told_while_they_go_on_and_when_they_are_over(
    board: Board, console: ConsoleServer, hub: Hub
) -> None:
    @job("wait_for_word", queue="live")
    def wait_for_word(*, fail: bool) -> None:
        if fail:
            raise ValueError("no")

    with listen(console, add_user()) as ears, board.worker():
        names = {ears.next().name, ears.next().name}
        assert names == {"jobs_changed", "dashboard_metrics_changed"}, "a worker came"
        wait_for_word.send(fail=True)
        heard: set[str] = set()

        def failed() -> bool:
            heard.add(ears.next().name)
            return {"jobs_changed", "job_failures_changed", "issues_changed"} <= heard

        eventually(failed, 10, what="the failure to be told")
    assert hub.hears


def test_each_hears_only_what_they_may(console: ConsoleServer, hub: Hub) -> None:
    anna, ben, viewer, stranger = add_user(None), add_user(None), add_user("viewer"), add_user(None)
    hers, his = add_project(anna), add_project(ben)
    with (
        listen(console, anna) as of_anna,
        listen(console, ben) as of_ben,
        listen(console, viewer) as of_viewer,
        listen(console, stranger) as of_stranger,
    ):
        tell("issues_changed", project_ids=(hers, news.SYSTEM))
        assert of_anna.next().data["payload"] == {"project_ids": [hers]}
        assert of_viewer.next().data["payload"] == {"project_ids": sorted([hers, ""])}
        tell("job_failures_changed")
        tell("profiles_table_changed", project_ids=(his,))
        event = of_ben.next()
        assert (event.name, event.data["payload"]) == ("profiles_table_changed", {"project_ids": [his]})
        assert [of_viewer.next().name, of_viewer.next().name] == ["job_failures_changed", "profiles_table_changed"]
        assert of_anna.silent(0.3)
        assert of_stranger.silent(0)
    eventually(lambda: hub.listeners == 0, what="all to have gone")


def test_whoever_comes_back_misses_no_topic(console: ConsoleServer, hub: Hub) -> None:
    user_id = add_user()
    with listen(console, user_id) as ears:
        tell("issues_changed")
        last = ears.next().id
    tell("job_failures_changed")
    tell("profiles_table_changed")
    eventually(lambda: hub.position.endswith("-4"), what="both to be heard")
    with listen(console, user_id, **{"Last-Event-ID": last}) as ears:
        assert {ears.next().name, ears.next().name} == {"job_failures_changed", "profiles_table_changed"}
        assert ears.silent(0.2)
    with listen(console, user_id, **{"Last-Event-ID": "another-7"}) as ears:
        assert {ears.next().name for _ in news.TOPICS} == news.TOPICS, "it is not known here: each topic once"
    cookies = {"callboard": session_of(user_id)}
    with Ears(console.url, params={"since": last, "topics": "profiles_table_changed"}, cookies=cookies) as ears:
        assert ears.next().name == "profiles_table_changed", "a page that took its time to load"


def test_a_lost_connection_to_postgres_costs_no_topic(console: ConsoleServer, hub: Hub, board: Board) -> None:
    with listen(console, add_user()) as ears:
        assert board.query(f"select pg_terminate_backend(pid) from ({LISTENING}) as l") != []
        assert {ears.next().name for _ in news.TOPICS} == news.TOPICS
        eventually(lambda: hub.hears, what="the LISTEN")
        tell("profiles_table_changed")
        assert ears.next().name == "profiles_table_changed"
    assert len(board.query(LISTENING)) == 1, "one connection for the whole process"


def test_a_stream_ends_with_its_sign_in_and_follows_its_roles(board: Board) -> None:
    app = make_app(board.settings, routers=[])
    hub = app.state.hub = Hub(board.settings, review_seconds=0.05)
    anna = add_user(None)
    with serving_app(app, board.settings) as server, listen(server, anna) as ears, listen(server, add_user()) as other:
        eventually(lambda: hub.hears, what="the LISTEN")
        project = add_project(anna)

        def hears_of_it() -> bool:
            tell("issues_changed", project_ids=(project,))
            return not ears.silent(0.1)

        eventually(hears_of_it, what="what a new membership gives")
        accounts.disable(anna, who=Who("cli:test"))
        assert ears.ended.wait(5)
        assert not other.ended.is_set()
        board.execute("delete from board.sign_ins")
        assert other.ended.wait(5)


def test_listening_does_not_count_as_use_of_a_session(board: Board) -> None:
    token = session_of(add_user())
    board.execute("update board.sign_ins set last_seen_at = now() - interval '1 hour'")
    before = board.query("select * from board.sign_ins")
    assert sign_in.find(token, used=False) is not None
    assert board.query("select * from board.sign_ins") == before


def test_a_key_listens_too_if_it_may_read(console: ConsoleServer, hub: Hub) -> None:
    owner = sign_in.find(session_of(add_user()))
    assert owner is not None
    reading, _ = accounts.create_key(owner, "reads", ["jobs:read"], who=Who("cli:test"))
    writing, _ = accounts.create_key(owner, "writes", ["jobs:write"], who=Who("cli:test"))
    with Ears(console.url, headers={"Authorization": f"Bearer {reading}"}) as ears:
        tell("issues_changed")
        assert ears.next().name == "issues_changed"
    answer = httpx.get(f"{console.url}/v1/stream", headers={"Authorization": f"Bearer {writing}"})
    assert (answer.status_code, answer.json()) == (403, {"error": "this key lacks the scope jobs:read."})
    assert hub.hears


def test_a_topic_that_is_not_there_is_named(console: ConsoleServer) -> None:
    with signed_in(console) as browser:
        answer = browser.get("/v1/stream?topics=jobs_changed,moon_changed")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("topics: moon_changed is none of")


def test_streams_are_bounded_for_one_and_for_all(board: Board) -> None:
    app = make_app(board.settings, routers=[])
    app.state.hub = Hub(board.settings, most_of_one=2, most_of_all=3)
    anna, ben = add_user(), add_user()
    with serving_app(app, board.settings) as server, listen(server, anna), listen(server, anna) as second:
        with listen(server, anna) as refused:
            assert refused.response.status_code == 429
            assert int(refused.response.headers["retry-after"]) > 0
        with listen(server, ben), listen(server, ben) as refused:
            assert refused.response.status_code == 503
        second.leave()
        eventually(lambda: app.state.hub.listeners == 1, what="the streams to be given up")
        with listen(server, anna) as again:
            assert again.response.status_code == 200


def test_a_silent_stream_says_that_it_lives(console: ConsoleServer, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.live.stream.HEARTBEAT_SECONDS", 0.05)
    with listen(console, add_user()) as ears:
        assert [ears.next().comment for _ in range(3)] == ["here"] * 3
    assert hub.hears


def test_whoever_takes_nothing_is_given_up(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.live.stream._STALLED_SECONDS", 0.05)
    hub, never = Hub(board.settings), asyncio.Event()
    hearing = Hearing(Credential("session", "x"), add_user(), None)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await never.wait()

    async def receive() -> Message:
        await never.wait()
        return {"type": "http.disconnect"}

    async def serve() -> None:
        stream = EventStream(hub, news.TOPICS, hearing, None)
        assert hub.listeners == 1
        await stream({}, receive, send)
        assert hub.listeners == 0

    asyncio.run(serve())


def test_listeners_that_come_and_go_leave_nothing_running(board: Board) -> None:
    router = APIRouter()

    @router.get("/v1/tasks")
    async def tasks() -> int:
        return len(asyncio.all_tasks())

    app = make_app(board.settings, routers=[router])
    user_id = add_user()
    with serving_app(app, board.settings) as server, signed_in(server) as browser:

        def running() -> int:
            return int(browser.get("/v1/tasks").text)

        before = running()
        for _ in range(3):
            with ExitStack() as ears:
                for _ in range(5):
                    ears.enter_context(listen(server, user_id))
                assert running() >= before + 5
        eventually(lambda: running() == before, what="the tasks of the listeners to end")
        assert app.state.hub.listeners == 0
