"""Live updates: the word that something changed, told by NOTIFY to every console. It says what, never how.

Acts tell it in their own transaction, so that it comes when, and only if, they are committed. Commits that notify wait
for one another in Postgres; workers therefore gather what they have written and tell it twice a second.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args
from uuid import UUID

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Engine

Topic = Literal[
    "jobs_changed", "job_failures_changed", "issues_changed", "dashboard_metrics_changed", "profiles_table_changed"
]
TOPICS: Final[frozenset[Topic]] = frozenset(get_args(Topic))
CHANNEL: Final = "callboard_news"
#: Stands for what belongs to no project: the system's own.
SYSTEM: Final = ""
#: More projects than these are told as "all"; so many ids fit a payload, which must be shorter than 8,000 bytes.
MOST_PROJECTS: Final = 50
_LONGEST_ID: Final = 100

_TELL = text("select pg_notify(:channel, :payload)")
_TOPICS_OF: Final[dict[str, tuple[Topic, ...]]] = {
    "run": ("jobs_changed",),
    "schedule": ("jobs_changed",),
    "queue": ("jobs_changed",),
    "dead_letter": ("job_failures_changed", "jobs_changed"),
    "failure": ("job_failures_changed",),
    "issue": ("issues_changed", "job_failures_changed"),
}
_PROJECT_OF: Final = {
    "run": text("select project_id from board.runs where id = :id limit 1"),
    "dead_letter": text("select project_id from board.dead_letters where id = :id"),
    "failure": text("select project_id from board.failures where id = :id limit 1"),
    "issue": text("select project_id from board.issues where id = :id"),
}


@dataclass(frozen=True, slots=True)
class News:
    """What changed, and in which projects; None: in any."""

    topics: frozenset[Topic]
    projects: frozenset[str] | None


#: What holds after a time in which nothing could be heard.
EVERYTHING: Final = News(TOPICS, None)


def tell(connection: Connection, *topics: Topic, project_ids: Iterable[str | UUID] | None = ()) -> None:
    """Say that something changed, once this transaction is committed.

    Args:
        connection: Inside the transaction that changed it.
        topics: What changed.
        project_ids: In which projects; empty for the system's own, None where that is not known.

    Raises:
        ValueError: There is no such topic.
    """
    unknown = set(topics) - TOPICS
    if unknown or not topics:
        raise ValueError(f"topics {sorted(unknown)} are none of {', '.join(sorted(TOPICS))}.")
    projects = None if project_ids is None else frozenset(map(str, project_ids)) or frozenset((SYSTEM,))
    connection.execute(_TELL, {"channel": CHANNEL, "payload": encode(News(frozenset(topics), projects))})


def tell_of_act(connection: Connection, resource_type: str, resource_id: object) -> None:
    """Say what an act changed, if it is anything that a screen shows live."""
    topics = _TOPICS_OF.get(resource_type)
    if topics is not None:
        tell(connection, *topics, project_ids=_projects(connection, resource_type, resource_id))


def _projects(connection: Connection, resource_type: str, resource_id: object) -> Collection[str] | None:
    query = _PROJECT_OF.get(resource_type)
    if query is None:
        return ()
    try:
        wanted = UUID(str(resource_id)) if resource_type == "run" else int(str(resource_id))
    except ValueError:  # an act on many: everything that a filter matches
        return None
    project = connection.execute(query, {"id": wanted}).scalar()
    return () if project is None else (project,)


def encode(news: News) -> str:
    """As a payload."""
    projects = news.projects
    if projects is not None and (len(projects) > MOST_PROJECTS or any(len(one) > _LONGEST_ID for one in projects)):
        projects = None
    return json.dumps({"t": sorted(news.topics), "p": None if projects is None else sorted(projects)})


def decode(payload: str) -> News | None:
    """What a payload says; None if it is not one of ours. Topics that this version does not know are left out."""
    try:
        content = json.loads(payload)
        topics, projects = frozenset(content["t"]) & TOPICS, content["p"]
        return News(topics, None if projects is None else frozenset(map(str, projects)))
    except (ValueError, KeyError, TypeError):
        return None


class Gathered:
    """What a process has changed and not told yet. Thread-safe, and cheap enough to be called for every batch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._projects_of: dict[Topic, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._projects_of)

    def add(self, topic: Topic, project_ids: Iterable[str | None]) -> None:
        """It changed in these projects; None is the system's own."""
        with self._lock:
            projects = self._projects_of.setdefault(topic, set())
            if len(projects) <= MOST_PROJECTS:
                projects.update(SYSTEM if one is None else one for one in project_ids)

    @contextmanager
    def told(self, engine: Engine) -> Iterator[Connection]:
        """A transaction that tells, when it commits, all that was gathered by its end; if it fails, that is kept."""
        taken: Mapping[Topic, set[str]] = {}
        try:
            with engine.begin() as connection:
                yield connection
                with self._lock:
                    taken, self._projects_of = self._projects_of, {}
                for payload in _payloads(taken):
                    connection.execute(_TELL, {"channel": CHANNEL, "payload": payload})
        except BaseException:
            for topic, projects in taken.items():
                self.add(topic, projects)
            raise


def _payloads(projects_of: Mapping[Topic, set[str]]) -> list[str]:
    """One for all topics that changed in the same projects: mostly one in all."""
    groups: dict[frozenset[str], set[Topic]] = {}
    for topic, projects in projects_of.items():
        groups.setdefault(frozenset(projects), set()).add(topic)
    return [encode(News(frozenset(topics), projects)) for projects, topics in groups.items()]
