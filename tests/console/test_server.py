"""The server: where it may listen, and how it ends."""

from __future__ import annotations

import io
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import APIRouter

from callboard.accounts import sign_in
from callboard.embedded import Endpoints
from callboard.embedded._endpoints import connect
from callboard.errors import DeclarationError, DuplicateRun, NotFound
from callboard.ledger.database import get_engine
from callboard.settings import Settings
from console.app import make_app
from console.deps import Ledger, SignedIn
from console.server import ConsoleServer, require_safe
from tests.console.kit import add_user, serving, session_of, signed_in
from tests.console.sse import Ears

if TYPE_CHECKING:
    from pathlib import Path

    from tests.board import Board


def test_it_answers_its_probes(console: ConsoleServer, board: Board) -> None:
    assert httpx.get(f"{console.url}/healthz").text == "ok\n"
    assert httpx.get(f"{console.url}/readyz").text == "ok\n"
    board.execute("update alembic_version set version_num = '0001'")
    answer = httpx.get(f"{console.url}/readyz")
    assert answer.status_code == 503
    assert "0001" in answer.text
    assert "callboard migrate" in answer.text


def test_it_stops_within_three_seconds_while_streams_are_open(board: Board) -> None:
    cookies = {"callboard": session_of(add_user())}
    with serving(board.settings) as server, Ears(server.url, cookies=cookies) as ears:
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 3
        assert ears.ended.wait(2), "the stream was told to end"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")
        server.stop()  # again does no harm


def test_a_taken_port_says_what_to_do(board: Board, console: ConsoleServer) -> None:
    again = ConsoleServer(make_app(board.settings, routers=[]), board.settings, port=console.port)
    with pytest.raises(OSError, match=r"CALLBOARD_CONSOLE_PORT; 0 takes a free one"):
        again.start()


def test_an_app_that_does_not_come_up_is_an_error(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(board.settings, routers=[])

    async def refuse() -> None:
        raise OSError("no")

    monkeypatch.setattr(app.state.hub, "start", refuse)
    server = ConsoleServer(app, board.settings, port=0)
    with pytest.raises(RuntimeError, match="did not come up"):
        server.start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "board.example.org"])  # noqa: S104 - is refused
def test_nothing_is_served_beyond_this_machine_without_tls(host: str) -> None:
    with pytest.raises(DeclarationError, match=r"CALLBOARD_CONSOLE_TLS_CERT.*CALLBOARD_CONSOLE_ALLOW_PLAIN"):
        require_safe(Settings(), host)
    require_safe(Settings(console_allow_plain=True), host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_this_machine_alone_may_be_served_plainly(host: str) -> None:
    require_safe(Settings(), host)


def test_half_of_a_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="CALLBOARD_CONSOLE_TLS_KEY is not set"):
        require_safe(Settings(console_tls_cert=tmp_path / "cert.pem"), "127.0.0.1")
    paths = {"console_tls_cert": tmp_path / "cert.pem", "console_tls_key": tmp_path / "key.pem"}
    with pytest.raises(DeclarationError, match="is no file"):
        require_safe(Settings(**paths), "127.0.0.1")


def test_with_a_certificate_it_speaks_https_and_its_cookie_is_bound_to_it(board: Board, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    settings = board.settings.model_copy(update={"console_tls_cert": cert, "console_tls_key": key})
    with serving(settings) as server:
        assert server.url.startswith("https://127.0.0.1:")
        token = sign_in.make_link(add_user())
        context = ssl.create_default_context(cafile=str(cert))
        answer = httpx.post(
            f"{server.url}/sign-in/link", data={"token": token}, headers={"Origin": server.url}, verify=context
        )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-callboard=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie


def _routes() -> APIRouter:
    router = APIRouter()

    @router.get("/v1/nothing")
    def nothing() -> None:
        raise NotFound("no run is called so")

    @router.get("/page/nothing")
    def page_of_nothing() -> None:
        raise NotFound("no <b>run</b> is called so")

    @router.get("/v1/twice")
    def twice() -> None:
        raise DuplicateRun("sync", add_user(), "p1")

    @router.get("/v1/broken")
    def broken() -> None:
        raise ZeroDivisionError("password=hunter2")

    @router.get("/v1/ledger")
    def ledger(ledger: Ledger, me: SignedIn) -> str:
        with get_engine().begin():  # what an act does while its request holds a connection
            return me.name + str(ledger.closed)

    return router


def test_errors_are_answered_in_the_shape_that_the_caller_reads(board: Board) -> None:
    with serving(board.settings, routers=[_routes()]) as server:
        answer = httpx.get(f"{server.url}/v1/nothing")
        assert (answer.status_code, answer.json()) == (404, {"error": "no run is called so"})
        answer = httpx.get(f"{server.url}/page/nothing")
        assert answer.status_code == 404
        assert "no &lt;b&gt;run&lt;/b&gt; is called so" in answer.text
        assert answer.headers["content-type"].startswith("text/html")
        answer = httpx.get(f"{server.url}/v1/twice")
        assert answer.status_code == 409
        assert answer.json()["existing_run_id"] in answer.json()["error"]
        answer = httpx.get(f"{server.url}/v1/no/such/path")
        assert (answer.status_code, set(answer.json())) == (404, {"error"})
        answer = httpx.delete(f"{server.url}/v1/nothing")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_mistake_of_ours_tells_only_where_the_log_has_more(board: Board, log: io.StringIO) -> None:
    with serving(board.settings, routers=[_routes()]) as server:
        answer = httpx.get(f"{server.url}/v1/broken?secret=hunter2")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "ZeroDivision" not in answer.text
    reference = answer.headers["x-correlation-id"]
    assert answer.json()["correlation_id"] == reference
    (line,) = [line for line in log.getvalue().splitlines() if reference in line]
    assert "ZeroDivisionError" in line
    assert "hunter2" not in line


def test_a_database_that_is_away_is_said_and_comes_back(embedded: Endpoints, console: ConsoleServer) -> None:
    cookies = {"callboard": session_of(add_user())}
    name = get_engine().url.database
    with closing(connect(embedded.database_url, autocommit=True)) as outside:
        outside.execute(f"alter database {name} with allow_connections false")
        outside.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        answer = httpx.get(f"{console.url}/v1/stream", cookies=cookies)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["error"].startswith("the database does not answer")
        assert httpx.get(f"{console.url}/readyz").status_code == 503
        assert httpx.get(f"{console.url}/healthz").status_code == 200
        outside.execute(f"alter database {name} with allow_connections true")
    assert httpx.get(f"{console.url}/readyz").status_code == 200


def test_more_requests_than_connections_wait_for_one_another(board: Board) -> None:
    """Each holds a connection while it waits for a thread, and needs a second one for its act."""
    user_id = add_user()
    with (
        serving(board.settings, routers=[_routes()]) as server,
        signed_in(server, user_id) as browser,
        ThreadPoolExecutor(60) as pool,
    ):
        asked = [pool.submit(browser.get, "/v1/ledger", timeout=20) for _ in range(120)]
        assert {answer.result().status_code for answer in asked} == {200}
