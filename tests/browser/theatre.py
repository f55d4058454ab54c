"""A board with a console, people and real runs, for browser tests and for pictures."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from callboard import get_job, get_settings
from callboard.ledger import schedules
from callboard.ledger.database import transaction
from callboard.operations import Who, accounts
from console.app import make_app
from console.server import ConsoleServer
from tests.board import open_board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import pytest

    from tests.board import Board

JOBS = "tests.browser.theatre_jobs"
PASSWORD = "correct horse battery staple"
WHO = Who("cli:stage")
PEOPLE = {
    "anna@example.org": ("Anna Admin", "admin"),
    "oleg@example.org": ("Oleg Operator", "operator"),
    "vera@example.org": ("Vera Viewer", "viewer"),
    "tess@example.org": ("Tess Team", None),
}


@dataclass
class Theatre:
    """What a test needs to know of the board."""

    board: Board
    url: str
    jobs: ModuleType
    people: dict[str, UUID]
    project: str

    def send(self, job: str, **kwargs: object) -> str:
        """Enqueue a run; its id."""
        return str(get_job(job).send(**kwargs).message_id)

    def state(self, run_id: str) -> str | None:
        """Where a run stands."""
        rows = self.board.query("select state from board.runs where id = :id", id=run_id)
        return rows[0][0] if rows else None

    def ended(self, *run_ids: str) -> None:
        """Wait until these runs are over."""
        over = ("completed", "failed", "cancelled")
        eventually(lambda: all(self.state(one) in over for one in run_ids), 20, what="the end of the runs")


@contextmanager
def open_theatre(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str, **given: object
) -> Iterator[Theatre]:
    """The board, its people and its console on a free port; no worker yet."""
    settings = {"console_port": 0, "actors": JOBS, "canary_seconds": 0, "trace_url": TRACES, **given}
    sys.modules.pop(JOBS, None)
    with open_board(monkeypatch, postgres_url, broker_url, **settings) as board:
        app = make_app(get_settings())
        jobs = sys.modules[JOBS]
        server = ConsoleServer(app, get_settings())
        server.start()
        try:
            people, project = _people()
            _schedules()
            yield Theatre(board, server.url, jobs, people, project)
        finally:
            jobs.GO_ON.set()
            server.stop()


TRACES = "https://traces.example.org/trace/{trace_id}"


def _people() -> tuple[dict[str, UUID], str]:
    found = {}
    for email, (name, role) in PEOPLE.items():
        found[email] = accounts.create_user(email, who=WHO, name=name, role=role, password=PASSWORD).id
    team = accounts.create_team("Revenue crew", who=WHO, slug="revenue", owner=found["tess@example.org"])
    project = accounts.create_project(team.id, "Owl Notes", who=WHO)
    accounts.create_project(team.id, "Owl Tasks", who=WHO)
    return found, str(project.id)


def _schedules() -> None:
    from callboard.job import all_jobs

    rows = [
        {"job": name, "queue": one.spec.queue, "cadence": str(one.spec.cadence), "interval_seconds": 3600.0}
        for name, one in all_jobs().items()
        if one.spec.cadence is not None and not name.startswith("callboard_")
    ]
    with transaction() as connection:
        schedules.declare(connection, rows, now=datetime.now(UTC))
