from __future__ import annotations

from typing import TYPE_CHECKING

from tests.console.api.caller import add_key, add_team, key_headers, session_headers
from tests.console.kit import add_user
from tests.console.race import race

if TYPE_CHECKING:
    from console.server import ConsoleServer
    from tests.board import Board


def test_two_triggers_at_one_instant_make_one_run_200_times(server: ConsoleServer, board: Board) -> None:
    owner, admin = add_user(None), add_user(None)
    team = add_team("ours", owner=owner, admin=admin)
    key = add_key(admin, ["jobs:read", "jobs:write"], team.id)

    told = race(
        server.url, [session_headers(owner), key_headers(key)], team=team.slug, project=team.project, rounds=200
    )

    assert told.wrong == []
    assert told.one_run == told.rounds == 200
    assert board.one("select count(*) from board.runs") == 200
    assert board.one("select count(*) from board.claims") == 0
