"""What the ledger forgets of its own accord: old failures, issues, news, bulk replays, token usages, audit rows.

Dead letters never go by themselves, and neither does what an open one needs to be understood: the failures of its run,
and its issue. Rows go a batch at a time, so that no transaction is long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection, TextClause

#: Rows that go in one transaction.
BATCH = 10_000


def _delete(table: str, old: str) -> TextClause:
    return text(f"""
    delete from board.{table} where ctid = any(array(select t.ctid from board.{table} t where {old} limit {BATCH}))
    """)  # noqa: S608 - constants only


_AGE = "now() - make_interval(days => :days)"
_OPEN_LETTER = "exists (select from board.dead_letters d where d.state = 'open' and"
_STATEMENTS = {
    "failures": _delete("failures", f"t.occurred_at < {_AGE} and not {_OPEN_LETTER} d.run_id = t.run_id)"),
    "issues": _delete(
        "issues", f"t.last_seen_at < {_AGE} and t.status <> 'pending' and not {_OPEN_LETTER} d.issue_id = t.id)"
    ),
    "notifications": _delete("notifications", f"t.created_at < {_AGE}"),
    "bulk_replays": _delete("bulk_replays", f"t.created_at < {_AGE}"),
    "token_usages": _delete("token_usages", f"t.recorded_at < {_AGE}"),
    "audit": _delete("audit", f"t.at < {_AGE}"),
}
TABLES = tuple(_STATEMENTS)


def prune(connection: Connection, table: str, *, days: int) -> int:
    """Delete a batch of a table's rows of more than `days` ago. Returns how many; 0 when none is left."""
    return connection.execute(_STATEMENTS[table], {"days": days}).rowcount
