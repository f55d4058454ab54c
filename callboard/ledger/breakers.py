"""Queries on `board.breakers`: one row for each target that has ever failed. All moments are the ledger's.

closed --failures in a row--> open --cooldown over, one wins the probe--> half_open --it went well--> closed
                               ^                                              |
                               +---------- it failed: the cooldown anew ------+
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

# `probe_in`: seconds until one may probe; none or less: now.
_UNWELL = text("""
select key, state, failures,
       extract(epoch from case when state = 'half_open' then probe_until
                               else opened_at + make_interval(secs => cooldown) end - now())::float8 as probe_in
from board.breakers where state <> 'closed' or failures > 0
""")
_FAILED = text("""
insert into board.breakers as b (key, state, failures, threshold, cooldown, opened_at, unwell_since, last_failure_at,
                                 last_error)
values (:key, case when :threshold <= 1 then 'open' else 'closed' end, 1, :threshold, :cooldown,
        case when :threshold <= 1 then now() end, case when :threshold <= 1 then now() end, now(), :error)
on conflict (key) do update
set failures = b.failures + 1, threshold = :threshold, cooldown = :cooldown,
    state = case when b.failures + 1 >= :threshold then 'open' else 'closed' end,
    opened_at = case when b.failures + 1 >= :threshold then now() end,
    unwell_since = case when b.failures + 1 >= :threshold then now() end,
    changed_at = case when b.failures + 1 >= :threshold then now() else b.changed_at end,
    last_failure_at = now(), last_error = :error
where b.state = 'closed'
returning state, failures
""")
_SUCCEEDED = text("update board.breakers set failures = 0 where key = :key and state = 'closed' and failures > 0")
_PROBE = text("""
update board.breakers
set state = 'half_open', probe_owner = :owner, probe_until = now() + make_interval(secs => :lease),
    changed_at = case when state = 'open' then now() else changed_at end
where key = :key and (state = 'open' and opened_at + make_interval(secs => cooldown) <= now()
                      or state = 'half_open' and probe_until <= now())
returning key
""")
_OURS = "where key = :key and state = 'half_open' and probe_owner = :owner returning key"
_WELL = """
set state = 'closed', failures = 0, opened_at = null, unwell_since = null, probe_owner = null, probe_until = null,
    changed_at = now()
"""
_PROBE_SUCCEEDED = text(f"update board.breakers {_WELL} {_OURS}")
_PROBE_FAILED = text(f"""
update board.breakers
set state = 'open', failures = failures + 1, opened_at = now(), probe_owner = null, probe_until = null,
    threshold = :threshold, cooldown = :cooldown, changed_at = now(), last_failure_at = now(), last_error = :error
{_OURS}
""")  # noqa: S608 - constants only
_PROBE_LEFT = text(f"""
update board.breakers set state = 'open', probe_owner = null, probe_until = null, changed_at = now() {_OURS}
""")  # noqa: S608 - constants only
_COLUMNS = """
key, state, failures, threshold, cooldown, opened_at, unwell_since, last_failure_at, last_error, changed_at,
case when state <> 'closed' then case when state = 'half_open' then probe_until
                                      else opened_at + make_interval(secs => cooldown) end end as probe_at
"""
_ALL = text(f"""
select {_COLUMNS} from board.breakers
where cast(:unwell as boolean) is not true or state <> 'closed' or failures > 0
order by state = 'closed', unwell_since, key limit :limit
""")  # noqa: S608 - constants only
_RESET = text(f"update board.breakers {_WELL} where key = :key returning {_COLUMNS}")
_BY_KIND = text("""
select split_part(key, ':', 1) as kind, state, count(*) as breakers,
       coalesce(max(extract(epoch from now() - unwell_since)), 0)::float8 as open_seconds
from board.breakers group by 1, 2 order by 1, 2
""")


def unwell(connection: Connection) -> Sequence[RowMapping]:
    """Those that are not simply closed: key, state, failures in a row, and `probe_in` (seconds until a probe)."""
    return connection.execute(_UNWELL).mappings().all()


def failed(connection: Connection, key: str, *, threshold: int, cooldown: float, error: str) -> tuple[str, int] | None:
    """A call through a closed breaker failed. Returns its state and failures; None if it was not closed any more."""
    given = {"key": key, "threshold": threshold, "cooldown": cooldown, "error": error}
    row = connection.execute(_FAILED, given).one_or_none()
    return None if row is None else (row.state, row.failures)


def succeeded(connection: Connection, key: str) -> None:
    """A call through a closed breaker went well: its failures are no row any more."""
    connection.execute(_SUCCEEDED, {"key": key})


def probe(connection: Connection, key: str, owner: UUID, *, lease: float) -> bool:
    """Win the probe of a breaker whose cooldown is over, for `lease` seconds; only one does."""
    given = {"key": key, "owner": owner, "lease": lease}
    return connection.execute(_PROBE, given).one_or_none() is not None


def probe_succeeded(connection: Connection, key: str, owner: UUID) -> bool:
    """Close the breaker, if the probe is still this owner's."""
    return connection.execute(_PROBE_SUCCEEDED, {"key": key, "owner": owner}).one_or_none() is not None


def probe_failed(connection: Connection, key: str, owner: UUID, *, threshold: int, cooldown: float, error: str) -> bool:
    """Open it anew, if the probe is still this owner's."""
    given = {"key": key, "owner": owner, "threshold": threshold, "cooldown": cooldown, "error": error}
    return connection.execute(_PROBE_FAILED, given).one_or_none() is not None


def probe_left(connection: Connection, key: str, owner: UUID) -> None:
    """The probe told nothing of the target: another may be made at once."""
    connection.execute(_PROBE_LEFT, {"key": key, "owner": owner})


def listing(connection: Connection, *, unwell: bool = False, limit: int = 1000) -> Sequence[RowMapping]:
    """Breakers, those that are open first, the longest first; `probe_at` is when one may probe."""
    return connection.execute(_ALL, {"unwell": unwell, "limit": limit}).mappings().all()


def reset(connection: Connection, key: str) -> RowMapping | None:
    """Close it by hand. Returns the row, None if there is no breaker of that key."""
    return connection.execute(_RESET, {"key": key}).mappings().one_or_none()


def by_kind(connection: Connection) -> Sequence[RowMapping]:
    """For each kind and state: how many `breakers`, and the `open_seconds` of the one that is open for longest."""
    return connection.execute(_BY_KIND).mappings().all()
