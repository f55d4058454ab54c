"""Writes what was read into Postgres: a batch of slices, and the states of their files, in one transaction.

Messages are copied into a temporary table and inserted from there; a uuid that is already known is left out, so that a
batch may be written again after a crash, and a line that stands in two sessions belongs to the first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import structlog
from sqlalchemy.exc import DataError, IntegrityError

from actors.sessions import _statements as sql
from actors.sessions._rows import Place, copy_rows
from actors.sessions.adapters import storable
from actors.sessions.reader import FileState, Stamp

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from sqlalchemy import Connection, TextClause

    from actors.sessions.adapters import Conversation, Session, Slice

_log = structlog.get_logger(__name__)

#: What Postgres and its driver raise for a value they do not take, rather than for a server or a table that is away.
REFUSALS = (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError, UnicodeError)


@dataclass
class Batch:
    """Slices of one source's files that are committed together."""

    source: str
    slices: list[Slice] = field(default_factory=list)
    messages: int = 0
    size: int = 0

    def add(self, part: Slice) -> None:
        """Add a slice; slices of one file must come in their order."""
        self.slices.append(part)
        self.messages += part.messages
        self.size += part.size

    def conversations(self) -> list[Conversation]:
        """The conversations of all slices."""
        return [talk for part in self.slices for talk in part.conversations]


def write_batch(connection: Connection, batch: Batch, withheld: Container[str], *, keep_raw: bool) -> Counter[str]:
    """Write a batch inside the caller's transaction.

    Args:
        connection: In a transaction.
        batch: What to write.
        withheld: Keys of files whose state must not move on, because a message before it was refused.
        keep_raw: Fill `messages.raw`.

    Returns:
        messages_inserted, messages_revised and duplicates.

    Raises:
        REFUSALS: Postgres does not take one of the values; nothing is written.
    """
    counts = _write_conversations(connection, batch.conversations(), keep_raw=keep_raw)
    _write_files(connection, batch, withheld)
    return counts


def write_piecemeal(connection: Connection, batch: Batch, withheld: set[str], *, keep_raw: bool) -> Counter[str]:
    """Write a batch that Postgres refused, by halves, all but the messages that it refuses singly.

    Their files are added to `withheld`: they are read again in the next pass, so that nothing is lost once the cause
    is mended. What is known of them by then is left out as ever.

    Returns:
        The counts of `write_batch`, and messages_refused.
    """
    counts: Counter[str] = Counter()
    for part in batch.slices:
        written = _write_halves(connection, part.conversations, keep_raw=keep_raw) if part.conversations else Counter()
        if written["messages_refused"]:
            withheld.add(part.source.key)
        counts += written
    _write_files(connection, batch, withheld)
    return counts


def _write_halves(connection: Connection, talks: list[Conversation], *, keep_raw: bool) -> Counter[str]:
    try:
        with connection.begin_nested():
            return _write_conversations(connection, talks, keep_raw=keep_raw)
    except REFUSALS as error:
        halves = _halved(talks)
        if not halves:
            _log.error("sessions.message_refused", session=talks[0].session.session_id, error=_why(error))
            return Counter(messages_refused=len(talks[0].messages))
    return sum((_write_halves(connection, half, keep_raw=keep_raw) for half in halves), Counter())


def _why(error: BaseException) -> str:
    """Why Postgres refused; its full message would quote what people wrote."""
    cause = getattr(error, "orig", None) or error
    diagnosis = getattr(cause, "diag", None)
    return getattr(diagnosis, "message_primary", None) or type(cause).__name__


def _halved(talks: list[Conversation]) -> list[list[Conversation]]:
    """The two halves of the conversations, or of the only one's messages; nothing when there is but one message."""
    if len(talks) > 1:
        middle = len(talks) // 2
        return [talks[:middle], talks[middle:]]
    messages, middle = talks[0].messages, len(talks[0].messages) // 2
    return [[replace(talks[0], messages=half)] for half in (messages[:middle], messages[middle:])] if middle else []


def _write_conversations(connection: Connection, talks: list[Conversation], *, keep_raw: bool) -> Counter[str]:
    counts: Counter[str] = Counter()
    if not talks:
        return counts
    places = _upsert_sessions(connection, _merged(talks))
    connection.exec_driver_sql(sql.PREPARE)
    _copy(connection, copy_rows(talks, places, keep_raw=keep_raw))
    if any(talk.revisable for talk in talks):
        counts["messages_revised"] = connection.execute(sql.REVISE).rowcount
    return counts + _insert(connection, talks, places)


def _merged(talks: list[Conversation]) -> list[Session]:
    """One session for each id: a long one comes in several slices, and a later slice may know more."""
    merged: dict[str, Session] = {}
    for talk in talks:
        session = merged.setdefault(talk.session.session_id, talk.session)
        if session is not talk.session:
            if not session.cwd:
                session.cwd, session.project = talk.session.cwd, talk.session.project
            session.model = talk.session.model or session.model
            session.meta |= talk.session.meta
            session.continues |= talk.session.continues
    return list(merged.values())


def _upsert_sessions(connection: Connection, sessions: list[Session]) -> dict[str, Place]:
    projects = {session.project: _project_row(session) for session in reversed(sessions)}
    _execute(connection, sql.PROJECTS, projects.values())
    rows = _execute(connection, sql.SESSIONS, map(_session_row, sessions))
    places = {row.session_id: Place(row.id, row.last_sequence) for row in rows}
    children = [s for s in sessions if s.parent]
    _execute(connection, sql.RELATIONS, ({"parent": s.parent, "child": s.session_id} for s in children))
    links = [{"session_id": s.session_id, "continued_from": uuid} for s in sessions for uuid in s.continues]
    _execute(connection, sql.CONTINUATIONS, links)
    return {session.session_id: places[storable(session.session_id)] for session in sessions}


def _execute(connection: Connection, statement: TextClause, rows: Iterable[dict[str, Any]]) -> list[Any]:
    given = [_storable_row(row) for row in rows]
    if not given:
        return []
    result = connection.execute(statement, {"rows": orjson.dumps(given).decode()})
    return list(result) if result.returns_rows else []


def _storable_row(row: dict[str, Any]) -> dict[str, Any]:
    return {key: storable(value) if isinstance(value, str) else value for key, value in row.items()}


def _project_row(session: Session) -> dict[str, Any]:
    name = session.project.rstrip("/").rpartition("/")[2] or session.project
    return {
        "path": session.project,
        "name": name,
        "source": session.source,
        "folder": session.folder,
        "repo_url": session.repo_url,
    }


def _session_row(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "project": session.project,
        "source": session.source,
        "session_type": "subagent" if session.parent else "main",
        "channel": session.channel,
        "cwd": session.cwd,
        "model": session.model,
        "meta": _storable_row(session.meta),
    }


def _copy(connection: Connection, rows: Iterable[bytes]) -> None:
    cursor = connection.connection.cursor()
    with cursor.copy(sql.COPY) as copy:
        for row in rows:
            copy.write(row)
    cursor.close()


def _insert(connection: Connection, talks: list[Conversation], places: dict[str, Place]) -> Counter[str]:
    added = {row.id: row.messages for row in connection.execute(sql.INSERT)}
    given: Counter[int] = Counter()
    for talk in talks:
        if not talk.revisable:  # a document is read whole each time: what it repeats says nothing
            given[places[talk.session.session_id].id] += len(talk.messages)
    known = sum(count - added.get(session, 0) for session, count in given.items())
    return Counter(messages_inserted=sum(added.values()), duplicates=known)


def _write_files(connection: Connection, batch: Batch, withheld: Container[str]) -> None:
    latest = {part.source.key: part.state for part in batch.slices if part.source.key not in withheld}
    _execute(connection, sql.FILES, (_file_row(path, batch.source, state) for path, state in latest.items()))


def _file_row(path: str, source: str, state: FileState) -> dict[str, Any]:
    return {
        "path": path,
        "source": source,
        **state.stamp._asdict(),
        "byte_offset": state.offset,
        "anchor": state.anchor,
        "skipping": state.skipping,
        "parser_state": state.parser,
    }


def load_states(connection: Connection) -> dict[str, dict[str, FileState]]:
    """The state of every file, by source and key."""
    states: dict[str, dict[str, FileState]] = {}
    for source, key, *stamp_and_rest in connection.execute(sql.STATES):
        states.setdefault(source, {})[key] = FileState(Stamp(*stamp_and_rest[:3]), *stamp_and_rest[3:])
    return states


def forget(connection: Connection, keys: list[str]) -> int:
    """Drop the states of files that are gone; should one come back it is read anew, and its messages are known."""
    return connection.execute(sql.FORGET, {"keys": keys}).rowcount
