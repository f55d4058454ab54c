"""A sample company and all that it deals with, for a database without tenants and teams of its own."""

from __future__ import annotations

import json
import os
import sys
from base64 import b64decode
from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard.ledger.database import database_url, transaction
from callboard.ledger.seal import KEY_FILE
from cli.up._ports import free_port
from cli.up._stand_ins import StandInProcess
from sandbox.company import Plan, fill
from sandbox.town import BROKEN, ENDPOINTS, NAMES, environment

if TYPE_CHECKING:
    from callboard.settings import Settings

_CATALOGUES = {"actors.memory", "actors.revenue"}
_NEWS_SECONDS = 20.0
_MEMORIES, _EVENTS = 600, 3000
_IS_EMPTY = text("select not exists (select from memory.tenants) and not exists (select from revenue.teams)")
_MOVED = tuple(
    text(f"update memory.{table} set url = replace(url, :old, :new) where starts_with(url, :old)")  # noqa: S608 - constants
    for table in ("webhooks", "siem_destinations")
)
#: The company's teams and projects become the console's, so that its project jobs can be triggered.
_TEAMS = text("""
with added as (
    insert into board.teams (id, slug, name)
    select id, 'sample-' || left(id::text, 8), name from revenue.teams where deleted_at is null
    on conflict do nothing
)
insert into board.projects (id, team_id, slug, name)
select p.id, p.team_id, 'app', p.name
from revenue.projects p join revenue.teams t on t.id = p.team_id and t.deleted_at is null where p.deleted_at is null
on conflict do nothing
""")


class SampleCompany:
    """Decides whether the samples are needed, makes them, and says so.

    The stand-ins keep their ports from one start to the next, since webhooks have them in their URLs.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file = settings.home / "sandbox" / "town.json"
        self.environment: dict[str, str] = {}
        self.stand_ins: list[StandInProcess] = []

    def prepare(self, *, always: bool = False) -> list[str]:
        """Make what is needed; returns what people should know."""
        if not _CATALOGUES & set(self._settings.actors) or (not always and _is_set_up()):
            return []
        before = self._known_ports()
        if before is None and not _is_empty():
            return []
        ports = {name: free_port((before or {}).get(name, 0)) for name in NAMES}
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if before is None:
            self._fill(ports)
        else:
            _move(before, ports)
        self._file.write_text(json.dumps(ports), encoding="utf-8")
        self._tell(ports)
        return self._notes(ports)

    def _known_ports(self) -> dict[str, int] | None:
        try:
            known: dict[str, int] = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return known

    def _fill(self, ports: dict[str, int]) -> None:
        urls = _urls(ports)
        plan = Plan(
            memories=_MEMORIES,
            events=_EVENTS,
            webhooks=tuple(f"{urls['webhooks']}/hooks/{name}" for name in ENDPOINTS),
            siem=(
                ("splunk", urls["splunk"]),
                ("datadog", urls["datadog"]),
                ("custom", f"{urls['webhooks']}/hooks/siem"),
            ),
            outside=True,
            secret_key=self._key(),
        )
        fill(database_url(self._settings), plan)
        with transaction() as connection:
            connection.execute(_TEAMS)

    def _key(self) -> bytes:
        """The installation's: the company's texts and credentials are sealed by it."""
        keys = self._settings.secret_keys
        text_ = keys[0].get_secret_value() if keys else (self._settings.home / KEY_FILE).read_text(encoding="ascii")
        return b64decode(text_)

    def _tell(self, ports: dict[str, int]) -> None:
        self.environment = environment(_urls(ports))
        where = [part for name, port in ports.items() for part in ("--port", f"{name}={port}")]
        command = [sys.executable, "-m", "sandbox.town", "--news", str(_NEWS_SECONDS), *where]
        self.stand_ins = [StandInProcess("sandbox", command, f"{len(ports)} outside systems on 127.0.0.1")]

    def _notes(self, ports: dict[str, int]) -> list[str]:
        endpoints = f"{_urls(ports)['webhooks']}/_sandbox/endpoints"
        mend = f'curl -d \'{{"name": "{BROKEN}"}}\' {endpoints}'
        return [
            f"a sample company is used, and stand-ins for all it deals with; see {self._file.parent}",
            f"its webhook endpoint {BROKEN!r} is broken; mend it: {mend}",
            "then replay what it missed: callboard dead-letters replay job:webhook.deliver",
        ]


def _urls(ports: dict[str, int]) -> dict[str, str]:
    return {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


def _is_set_up() -> bool:
    """Whether somebody has given the catalogues systems of their own."""
    return any(name in os.environ for name in environment(dict.fromkeys(NAMES, "")))


def _is_empty() -> bool:
    with transaction() as connection:
        return bool(connection.execute(_IS_EMPTY).scalar_one())


def _move(before: dict[str, int], ports: dict[str, int]) -> None:
    """A port that somebody else has taken since: the addresses in the tables follow."""
    old, new = _urls(before), _urls(ports)
    with transaction() as connection:
        for name in NAMES:
            if name in old and old[name] != new[name]:
                for statement in _MOVED:
                    connection.execute(statement, {"old": old[name], "new": new[name]})
