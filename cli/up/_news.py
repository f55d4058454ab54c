"""What is true of the board right now, read from the ledger, the broker and the operating system."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from callboard import get_broker
from callboard.filters import parse
from callboard.job import all_jobs
from callboard.ledger import dead_letters, pages, schedules, workers
from callboard.ledger.database import transaction
from cli import _times

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from callboard.children import ChildState
    from cli._output import Row
    from cli.up._board import Board

# The scheduler's sessions, and whether one of them holds the leader's lock.
_SCHEDULERS = text("""
select count(distinct a.pid) as sessions, count(l.pid) as locks
from pg_stat_activity a left join pg_locks l on l.pid = a.pid and l.locktype = 'advisory' and l.granted
where a.application_name = 'callboard-scheduler' and a.datname = current_database()
""")
_RUNS, _DEAD = 300, 1000


@dataclass(frozen=True)
class Part:
    """A process or a server: one line of the upper table."""

    name: str
    pid: int | None
    state: str
    where: str


@dataclass(frozen=True)
class Due:
    """When a job is called next; None while its schedule is paused."""

    job: str
    at: datetime | None


@dataclass
class News:
    """One look at the board; `trouble` says what could not be read."""

    moment: datetime
    parts: list[Part] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    running: list[Row] = field(default_factory=list)
    finished: list[Row] = field(default_factory=list)
    dead: int = 0
    trouble: str = ""
    link: str = ""

    @property
    def ready(self) -> bool:
        """Whether every part does its work."""
        return not self.trouble and all(part.state not in ("starting", "restarting") for part in self.parts)


@dataclass
class _Ledger:
    workers: dict[int, Row] = field(default_factory=dict)
    scheduling: str = "starting"


class Reporter:
    """Looks at the board, again and again."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._answering: set[str] = set()
        self._broker_info: dict[str, Any] = {}

    def look(self) -> News:
        """Read everything; what cannot be read is said in `trouble`, and the rest is shown all the same."""
        news, ledger = News(_times.now()), _Ledger()
        try:
            with transaction() as connection:
                self._read(connection, news, ledger)
            news.link = self._board.console.link()
            self._broker_info = self._ask_broker()
        except SQLAlchemyError as error:
            news.trouble = f"Postgres does not answer: {_first_line(getattr(error, 'orig', None) or error)}"
        except (LookupError, redis.RedisError) as error:
            news.trouble = f"the broker does not answer: {_first_line(error)}"
        news.parts = self._parts(ledger)
        return news

    def _read(self, connection: Connection, news: News, ledger: _Ledger) -> None:
        ledger.workers = {row["pid"]: row for row in workers.listing(connection)}
        sessions = connection.execute(_SCHEDULERS).one()
        ledger.scheduling = "starting" if not sessions.sessions else "leading" if sessions.locks else "standby"
        runs = pages.page(connection, parse("", "runs"), limit=_RUNS).rows
        news.running = [run for run in runs if run["state"] == "running"]
        ended = [run for run in runs if run["finished_at"] is not None]
        news.finished = _last_of_each(sorted(ended, key=lambda run: run["finished_at"], reverse=True))
        news.dead = dead_letters.count_open(connection, most=_DEAD)
        paused = {row["job"] for row in schedules.listing(connection) if row["paused_at"] is not None}
        news.due = _due(paused, news.moment)

    def _ask_broker(self) -> dict[str, Any]:
        info: dict[str, Any] = dict(get_broker().client.info("server"))  # type: ignore[attr-defined] # our broker's own
        return info

    def _parts(self, ledger: _Ledger) -> list[Part]:
        ours = [
            Part(server.name, server.pid, "running" if server.ours else "not ours", server.address)
            for server in self._board.servers.listing(self._broker_info)
        ]
        return ours + [self._part(child, ledger) for child in self._board.children()]

    def _part(self, child: ChildState, ledger: _Ledger) -> Part:
        if child.pid is None:
            return Part(child.name, None, "restarting", f"exit code {child.exit_code}")
        state, where = self._state(child.name, child.pid, ledger)
        restarts = f"  started {child.restarts + 1} times" if child.restarts else ""
        return Part(child.name, child.pid, state, where + restarts)

    def _state(self, name: str, pid: int, ledger: _Ledger) -> tuple[str, str]:
        if name == "scheduler":
            return ledger.scheduling, "calls the cadences"
        if name == "exporter":
            return self._serving(self._board.metrics_url.removesuffix("/metrics")), self._board.metrics_url
        if name == "console":
            return self._serving(self._board.console.url), self._board.console.url
        for each in self._board.sandbox.stand_ins:
            if each.name == name:
                return "stand-in", each.address
        row = ledger.workers.get(pid)
        if row is None:
            return "starting", ""
        return row["state"], f"{row['busy']} of {row['threads']} threads busy, queues {' '.join(row['queues'])}"

    def _serving(self, url: str) -> str:
        if url not in self._answering:
            try:
                # Its certificate may be for the name that people use; here it matters only whether it answers.
                answers = httpx.get(f"{url}/healthz", timeout=1.0, verify=False).is_success  # noqa: S501 - as said
            except httpx.HTTPError:  # not yet
                answers = False
            self._answering |= {url} if answers else set()
        return "running" if url in self._answering else "starting"


def _last_of_each(runs: list[Row]) -> list[Row]:
    """The newest run of each job: a job that is busy does not push the others off the screen."""
    seen: dict[str, Row] = {}
    for run in runs:
        seen.setdefault(run["job"], run)
    return list(seen.values())


def _due(paused: set[str], moment: datetime) -> list[Due]:
    found = [
        Due(name, None if name in paused else job.spec.cadence.after(moment))
        for name, job in all_jobs().items()
        if job.spec.cadence is not None
    ]
    return sorted(found, key=lambda due: (due.at is None, due.at))


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
