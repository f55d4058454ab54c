"""Queries on `board.issues`: what people do with an issue, and what health checks open and resolve.

    occurrence ──▶ open ──take──▶ pending     somebody works on it
                    ▲ │              │
         occurrence │ └───resolve────┤
                    │                ▼
                    └─────────── resolved     it counts as reopened when it comes back

An occurrence always counts, whatever the status. A silenced issue alarms nobody until `silenced_until`; it counts, and
is resolved and opened, all the same. Failures are folded in by `callboard.ledger.failures`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select, text

from callboard.errors import NotFound
from callboard.ledger import tables
from callboard.ledger.facts import dumps, readable
from observability.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

_ISSUES = tables.issues.c
_LONGEST_NOTE, _LONGEST_TITLE = 500, 200

_SET_STATUS = text("""
update board.issues set status = :status, status_at = now(), status_by = :by, note = nullif(:note, '')
where id = :id returning *
""")
_SILENCE = text("""
update board.issues set silenced_until = cast(:until as timestamptz),
    silenced_by = case when cast(:until as timestamptz) is not null then :by end
where id = :id returning *
""")

# While a condition lasts it is one occurrence: only the moment, the severity and the words move on.
_SIGHT = text("""
insert into board.issues as i (fingerprint, type, severity, job, subject, error_type, title, kind)
select fingerprint, type, severity, '', subject, '', title, 'health'
from json_to_recordset(cast(:rows as json)) as g (fingerprint text, type text, severity text, subject text, title text)
order by fingerprint
on conflict (fingerprint) do update
set last_seen_at = now(), severity = excluded.severity, title = excluded.title,
    occurrences = i.occurrences + case i.status when 'resolved' then 1 else 0 end,
    reopened = i.reopened + case i.status when 'resolved' then 1 else 0 end,
    status_at = case i.status when 'resolved' then now() else i.status_at end,
    status_by = case i.status when 'resolved' then 'recurrence' else i.status_by end,
    status = case i.status when 'resolved' then 'open' else i.status end
""")
_WELL = text("""
update board.issues set status = 'resolved', status_at = now(), status_by = 'health check', note = :note
where type = :type and status <> 'resolved' and not subject = any(:others) returning id, subject
""")
# Not one that somebody works on, and not one that somebody has just reopened.
_QUIET = text("""
update board.issues i set status = 'resolved', status_at = now(), status_by = :by, note = :note
where status = 'open' and kind <> 'health'
  and greatest(last_seen_at, status_at) < cast(:now as timestamptz) - make_interval(days => :days)
  and not exists (select from board.dead_letters d where d.issue_id = i.id and d.state = 'open')
returning project_id
""")
_LETTERS = text("""
select count(*) filter (where state = 'open') as open_letters, count(*) as letters
from board.dead_letters where issue_id = :id
""")
_FAILURES = text("""
select id, run_id, job, scope, attempt, kind, retryable, error_type, error, occurred_at
from board.failures where issue_id = :id order by id desc limit :limit
""")


class Sighting(NamedTuple):
    """A condition that a health check has found: what of, how bad, and in words."""

    subject: str
    severity: str
    title: str


def get(connection: Connection, issue_id: int) -> RowMapping:
    """One issue.

    Raises:
        NotFound: There is none of that id.
    """
    row = connection.execute(select(tables.issues).where(_ISSUES.id == issue_id)).mappings().one_or_none()
    return _found(row, issue_id)


def _found(row: RowMapping | None, issue_id: int) -> RowMapping:
    if row is None:
        raise NotFound(f"No issue has the id {issue_id}; `callboard issues` lists them.")
    return row


def hold(connection: Connection, issue_id: int) -> RowMapping:
    """One issue, held until the transaction ends.

    Raises:
        NotFound: There is none of that id.
    """
    query = select(tables.issues).where(_ISSUES.id == issue_id).with_for_update()
    return _found(connection.execute(query).mappings().one_or_none(), issue_id)


def set_status(connection: Connection, issue_id: int, status: str, *, by: str, note: str = "") -> RowMapping:
    """Say where the issue stands; the row as it is then.

    Raises:
        NotFound: There is none of that id.
    """
    given = {"id": issue_id, "status": status, "by": by, "note": redact_text(readable(note))[:_LONGEST_NOTE]}
    return _found(connection.execute(_SET_STATUS, given).mappings().one_or_none(), issue_id)


def silence(connection: Connection, issue_id: int, until: datetime | None, *, by: str) -> RowMapping:
    """Let the issue alarm nobody until a moment, or, with None, let it alarm again; the row as it is then.

    Raises:
        NotFound: There is none of that id.
    """
    given = {"id": issue_id, "until": until, "by": by}
    return _found(connection.execute(_SILENCE, given).mappings().one_or_none(), issue_id)


def sight(connection: Connection, kind: str, found: Iterable[Sighting]) -> None:
    """Open the issues of what a health check has found, or note that they are still there.

    Args:
        connection: Inside a transaction.
        kind: The issues' type.
        found: At most one for each subject.
    """
    rows = [
        {
            "fingerprint": health_fingerprint(kind, one.subject),
            "type": kind,
            "severity": one.severity,
            "subject": one.subject,
            "title": readable(one.title)[:_LONGEST_TITLE],
        }
        for one in found
    ]
    if rows:
        connection.execute(_SIGHT, {"rows": dumps(rows)})


def well(connection: Connection, kind: str, *, but: Collection[str], note: str = "healthy again") -> Sequence[str]:
    """Resolve the issues of a type whose subjects are not among `but`; those subjects, ill or not known.

    Returns:
        The subjects that were resolved.
    """
    given = {"type": kind, "others": list(but), "note": note}
    return [row.subject for row in connection.execute(_WELL, given)]


def settle(connection: Connection, *, days: int, now: datetime, by: str) -> Sequence[str | None]:
    """Resolve the open issues of failures that have not come back for so many days and left no open dead letter.

    Returns:
        The project of each.
    """
    given = {"days": days, "now": now, "by": by, "note": f"quiet for {days} day{'' if days == 1 else 's'}"}
    return connection.execute(_QUIET, given).scalars().all()


def health_fingerprint(kind: str, subject: str) -> str:
    """What makes two sightings the same issue; unlike a failure's, digits count: `q1` is not `q2`."""
    return hashlib.sha256(f"{kind}|{subject}".encode()).hexdigest()


def letters(connection: Connection, issue_id: int) -> RowMapping:
    """How many dead letters the issue left, `letters` in all and `open_letters` of them."""
    return connection.execute(_LETTERS, {"id": issue_id}).mappings().one()


def latest_failures(connection: Connection, issue_id: int, *, limit: int = 10) -> Sequence[RowMapping]:
    """The issue's last failures, newest first, without their traces and lines."""
    return connection.execute(_FAILURES, {"id": issue_id, "limit": limit}).mappings().all()
