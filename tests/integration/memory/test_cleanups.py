"""Expired sessions and old audit rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from actors.memory.audit_retention import audit_log_retention, delete_old
from actors.memory.sessions import cleanup_expired_sessions, delete_expired
from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.tables import audit_logs, sessions, siem_destinations
from callboard import Run, transaction
from tests.integration.memory.kit import NOW, add_tenant, add_user, rows_of, set_timezone

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.usefixtures("memory_database")
YEAR = timedelta(days=365)


def add_sessions(user: UUID, *ends: datetime, **columns: object) -> list[UUID]:
    rows = [
        {
            "id": uuid4(),
            "user_id": user,
            "device_id": "phone",
            "refresh_token_hash": uuid4().hex,
            "family_id": uuid4(),
            "session_type": "web",
            "expires_at": end,
            **columns,
        }
        for end in ends
    ]
    with transaction() as connection:
        connection.execute(insert(sessions), rows)
    return [UUID(str(row["id"])) for row in rows]


def sessions_left() -> set[UUID]:
    return {row["id"] for row in rows_of("select id from memory.sessions")}


def expire_at(now: datetime, settings: MemorySettings | None = None) -> int:
    run = Run(job="cleanup_expired_sessions")
    delete_expired(run, settings or get_memory_settings(), now)
    return run.counts["deleted"]


def test_sessions_go_when_they_have_expired_and_revoked_ones_no_sooner() -> None:
    user = add_user(add_tenant())
    add_sessions(user, NOW - timedelta(seconds=1), NOW - timedelta(days=9))
    kept = add_sessions(user, NOW, NOW + timedelta(days=14))
    kept += add_sessions(user, NOW + timedelta(days=1), is_active=False, is_current=False)
    assert expire_at(NOW) == 2
    assert sessions_left() == set(kept)
    assert expire_at(NOW) == 0
    assert expire_at(NOW - timedelta(hours=1)) == 0


def test_sessions_go_in_batches() -> None:
    add_sessions(add_user(add_tenant()), *[NOW - timedelta(hours=number) for number in range(1, 8)])
    assert expire_at(NOW, MemorySettings(cleanup_batch=3)) == 7
    assert sessions_left() == set()


def test_without_sessions_and_audit_rows_there_is_nothing_to_tell(callboard_run: Run) -> None:
    cleanup_expired_sessions()
    assert (callboard_run.counts, callboard_run.is_quiet) == ({"deleted": 0}, True)
    audit_log_retention()
    assert callboard_run.counts == {"deleted": 0, "scanned": 0, "kept_for_siem": 0}


def add_audit(tenant: UUID, *times: datetime) -> list[int]:
    rows = [
        {
            "tenant_id": tenant,
            "event_type": "memory.create",
            "category": "data",
            "resource_type": "memory",
            "action": "create",
            "created_at": at,
        }
        for at in times
    ]
    with transaction() as connection:
        statement = insert(audit_logs).returning(audit_logs.c.id, sort_by_parameter_order=True)
        return list(connection.scalars(statement, rows))


def add_destination(tenant: UUID, cursor: int, *, active: bool = True) -> None:
    row = {"id": uuid4(), "tenant_id": tenant, "kind": "custom", "url": "https://example.com", "token": b"x"}
    written = rows_of("select transaction_id from memory.audit_logs where id = :id", id=cursor)
    row["cursor_transaction"] = written[0]["transaction_id"] if written else 0
    with transaction() as connection:
        connection.execute(insert(siem_destinations), {**row, "cursor_id": cursor, "active": active})


def audit_left() -> list[int]:
    return [row["id"] for row in rows_of("select id from memory.audit_logs order by id")]


def clean_at(now: datetime = NOW, settings: MemorySettings | None = None) -> dict[str, int]:
    run = Run(job="audit_log_retention")
    delete_old(run, settings or get_memory_settings(), now)
    return run.counts


def ages(*days: float) -> Sequence[datetime]:
    return [NOW - timedelta(days=each) for each in days]


def test_audit_rows_go_after_a_year() -> None:
    ids = add_audit(add_tenant(), *ages(400, 365.001, 365, 364, 0))
    assert clean_at() == {"scanned": 2, "deleted": 2, "kept_for_siem": 0}
    assert audit_left() == ids[2:]
    assert clean_at() == {"scanned": 0, "deleted": 0, "kept_for_siem": 0}


def test_never_above_the_lowest_cursor_of_the_tenants_destinations() -> None:
    slow, other = add_tenant(), add_tenant()
    first, second, third = add_audit(slow, *ages(400, 399, 398))
    add_audit(other, *ages(397))
    add_destination(slow, third)
    add_destination(slow, first)
    add_destination(slow, 0, active=False)
    assert clean_at() == {"scanned": 4, "deleted": 2, "kept_for_siem": 2}
    assert audit_left() == [second, third]


def test_rows_that_were_written_out_of_order_are_judged_by_their_own_time() -> None:
    ids = add_audit(add_tenant(), *ages(400, 10, 399, 9, 398, 8))
    assert clean_at(settings=MemorySettings(cleanup_batch=2))["deleted"] == 3
    assert audit_left() == ids[1::2]


def test_a_leap_year_and_dst_do_not_move_the_end_of_the_year() -> None:
    set_timezone("Europe/Zurich")
    now = NOW.replace(year=2028, month=7)  # 29 February and both changes of the clock lie within
    ids = add_audit(add_tenant(), now - YEAR, now - YEAR - timedelta(seconds=1))
    assert clean_at(now)["deleted"] == 1
    assert audit_left() == ids[:1]
