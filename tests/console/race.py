"""Two people trigger one project's job at the same instant, over and over: one run each time, and both know it.

python -m tests.console.race --rounds 200
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

_DUPLICATE = "A job of this type is already running or pending"


@dataclass
class Tally:
    """How the rounds went; `wrong` says of each other outcome what it was."""

    rounds: int = 0
    one_run: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def race(url: str, callers: Sequence[dict[str, str]], *, team: str, project: str, rounds: int) -> Tally:
    """Let all callers, by their headers, trigger `sync_project` of the project at once; then cancel it."""
    tally, barrier = Tally(), Barrier(len(callers))
    began = time.monotonic()
    with ThreadPoolExecutor(len(callers)) as pool:
        clients = [httpx.Client(base_url=url, headers=headers, timeout=20) for headers in callers]

        def trigger(client: httpx.Client) -> httpx.Response:
            barrier.wait(20)
            body = {"job_type": "sync_project", "project_id": project}
            return client.post(f"/v1/teams/{team}/jobs/trigger", json=body)

        try:
            for _ in range(rounds):
                _round(list(pool.map(trigger, clients)), clients[0], tally)
        finally:
            for client in clients:
                client.close()
    tally.seconds = time.monotonic() - began
    return tally


def _round(answers: Sequence[httpx.Response], client: httpx.Client, tally: Tally) -> None:
    """Count a round and make an end of its run: it is pending, for nobody works here."""
    made = [answer.json()["job_run"]["id"] for answer in answers if answer.status_code == 201]
    refused: list[Any] = [answer.json() for answer in answers if answer.status_code == 409]
    told = [{"error": _DUPLICATE, "existing_run_id": run_id} for run_id in made] * len(refused)
    tally.rounds += 1
    if len(made) == 1 and len(refused) == len(answers) - 1 and refused == told:
        tally.one_run += 1
    else:
        tally.wrong.append(" | ".join(f"{answer.status_code} {answer.text[:200]}" for answer in answers))
    for run_id in made:
        client.post(f"/v1/jobs/{run_id}/cancel").raise_for_status()


def main() -> int:
    """Start servers, race, and say how it went; 0 if there was one run each time."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--callers", type=int, default=2)
    asked = options.parse_args()
    tally = _on_servers(asked.rounds, asked.callers)
    print(  # noqa: T201 - a command
        f"{tally.rounds} rounds of {asked.callers} triggers at once in {tally.seconds:.1f} s: "
        f"{tally.one_run} with one run and its id in every 409, {len(tally.wrong)} others"
    )
    for told in tally.wrong[:10]:
        print(told)  # noqa: T201
    return 0 if tally.one_run == tally.rounds else 1


def _on_servers(rounds: int, callers: int) -> Tally:
    from callboard.embedded import EmbeddedServers
    from callboard.ledger import migrate
    from console.app import make_app
    from tests.board import open_board
    from tests.console.api.caller import add_team, session_headers
    from tests.console.kit import add_user, serving_app

    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder)) as servers:
        found = servers.start()
        migrate.upgrade(found.database_url)
        with (
            pytest.MonkeyPatch.context() as patch,
            open_board(patch, found.database_url, found.broker_url, actors="tests.console.api.api_jobs") as board,
            serving_app(make_app(board.settings), board.settings) as server,
        ):
            people = [add_user(None) for _ in range(callers)]
            team = add_team("ours", owner=people[0])
            for user_id in people[1:]:
                _let_in(team.id, user_id)
            return race(
                server.url, [session_headers(one) for one in people], team="ours", project=team.project, rounds=rounds
            )


def _let_in(team_id: Any, user_id: Any) -> None:  # noqa: ANN401 - ids
    from callboard.operations import Who, accounts

    accounts.set_member(team_id, user_id, "admin", who=Who("test"), principal=None)


if __name__ == "__main__":
    sys.exit(main())
