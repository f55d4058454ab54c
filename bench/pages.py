"""How long each page of the console takes on a full ledger: `python -m bench.pages [--runs 1000000] [--times 30]`.

Fills an embedded Postgres as `bench.board` does, starts the console itself, signs in with a password, and asks for each
page as a browser would. Prints the median and the 95th percentile of each in milliseconds, and the size of the answer;
exits 1 if a 95th percentile is above the bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import text

from bench.board_rows import fill
from callboard import get_settings
from callboard.embedded import EmbeddedServers
from callboard.ledger.database import transaction
from callboard.ledger.migrate import upgrade
from callboard.operations import Who, accounts
from console.app import make_app
from console.server import ConsoleServer
from tests.board import open_board

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MILLISECONDS = 150.0
_PASSWORD = "a password of the benchmark"  # noqa: S105 - of a board that lives for minutes
_RUNS = "/admin/background_jobs"
_PAGES = {
    "dashboard": _RUNS,
    "dashboard 24h": f"{_RUNS}?window=24h",
    "runs failed": f"{_RUNS}?q=state:failed",
    "failures": f"{_RUNS}/failures",
    "failures filtered": f"{_RUNS}/failures?q=kind:transient",
    "issues": "/admin/issues",
    "dead letters": "/admin/dead_letters",
    "dead letters, all": "/admin/dead_letters?q=state:*",
    "replay plan": "/admin/dead_letters/replay",
    "jobs": "/admin/jobs",
    "schedules": "/admin/schedules",
    "queues": "/admin/queues",
    "workers": "/admin/workers",
    "audit": "/admin/audit",
    "accounts": "/admin/accounts",
    "keys": "/admin/keys",
}
_ONES = {
    "run": (_RUNS + "/runs/{}", "select id from board.runs order by created_at desc limit 1"),
    "run failed": (_RUNS + "/runs/{}", "select run_id from board.failures order by id desc limit 1"),
    "failure": (_RUNS + "/failures/{}", "select max(id) from board.failures"),
    "issue": ("/admin/issues/{}", "select issue_id from board.failures group by 1 order by count(*) desc limit 1"),
    "dead letter": ("/admin/dead_letters/{}", "select max(id) from board.dead_letters"),
    "job": ("/admin/jobs/{}", "select job from board.runs order by created_at desc limit 1"),
}


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--letters", type=int, default=50_000)
    parser.add_argument("--failures", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=30, help="how often each is asked for")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder)) as servers:
        where = servers.start()
        upgrade(where.database_url)
        fill(where.database_url, runs=given.runs, letters=given.letters, failures=given.failures)
        with (
            pytest.MonkeyPatch.context() as patch,
            open_board(patch, where.database_url, where.broker_url, console_port=0, worker_threads=18),
        ):
            return _serve(given.times)


def _serve(times: int) -> int:
    server = ConsoleServer(make_app(get_settings()), get_settings())
    server.start()
    try:
        who = Who("cli:bench")
        accounts.create_user("bench@example.org", who=who, role="admin", password=_PASSWORD)
        with httpx.Client(base_url=server.url, headers={"Origin": server.url}) as client:
            client.post("/sign-in", data={"email": "bench@example.org", "password": _PASSWORD})
            return _report(client, times)
    finally:
        server.stop()


def _report(client: httpx.Client, times: int) -> int:
    slow = 0
    sys.stdout.write(f"{'page':<20} {'p50 ms':>8} {'p95 ms':>8} {'kB':>7}\n")
    for name, path in _paths():
        took, size = _ask(client, path, times)
        p95 = statistics.quantiles(took, n=20)[18]
        slow += p95 > MOST_MILLISECONDS
        mark = "  above the bound" if p95 > MOST_MILLISECONDS else ""
        sys.stdout.write(f"{name:<20} {statistics.median(took):8.1f} {p95:8.1f} {size / 1000:7.1f}{mark}\n")
    return min(slow, 1)


def _paths() -> Iterator[tuple[str, str]]:
    yield from _PAGES.items()
    with transaction() as connection:
        for name, (path, query) in _ONES.items():
            yield name, path.format(connection.execute(text(query)).scalar_one())


def _ask(client: httpx.Client, path: str, times: int) -> tuple[list[float], int]:
    took, size = [], 0
    for number in range(times + 3):
        begun = time.perf_counter()
        answer = client.get(path)
        if number >= 3:  # noqa: PLR2004 - the first ones fill caches
            took.append(1000 * (time.perf_counter() - begun))
        answer.raise_for_status()
        size = len(answer.content)
    return took, size


if __name__ == "__main__":
    sys.exit(main())
