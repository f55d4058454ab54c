"""Documents that say the same: one memory for all of them, as long as any of them is there."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from actors.memory.capture import queue as capture
from actors.memory.capture.promoting import promote
from callboard import transaction
from tests.integration.memory.kit import NOW, rows_of, value_of
from tests.integration.memory.queueing import drain
from tests.integration.memory.syncing import add_connection, add_job, attempt, connection_row, job_row, synced
from tests.support import eventually

if TYPE_CHECKING:
    from uuid import UUID

    from sandbox.github import GitHubStandIn
    from sandbox.google_drive import GoogleDriveStandIn
    from sandbox.openai import OpenAIStandIn

SAME = "Office", "The office moves to Lisbon in May."
LATER = [NOW + timedelta(hours=number) for number in range(1, 6)]


def remembered(connection_id: UUID) -> list[str]:
    """The keys of the memories that can be found."""
    found = rows_of(
        "select extracted_key from memory.memories where user_id = :user and superseded_by is null"
        " and (expires_at is null or expires_at > now()) order by extracted_key",
        user=connection_row(connection_id)["user_id"],
    )
    return [row["extracted_key"] for row in found]


def test_where_the_one_that_has_the_memory_is_deleted_the_other_gets_one(google_drive: GoogleDriveStandIn) -> None:
    for name in ("1", "2", "3"):
        google_drive.put(name, *SAME)
    made = add_connection("google_drive")
    synced(made)
    assert drain()["created"] == 1
    for number, gone in enumerate(("1", "2", "3")):
        assert remembered(made) == [f"google_drive_{gone}"]
        google_drive.delete(gone)
        row = synced(made, now=LATER[number])
        assert (row["memories_deleted"], row["candidates"]) == (1, int(gone != "3"))
        drain()
    assert remembered(made) == []


def test_it_is_so_before_the_capture_queue_came_by_and_when_all_is_read_again(google_drive: GoogleDriveStandIn) -> None:
    for name in ("1", "2"):
        google_drive.put(name, *SAME)
    made = add_connection("google_drive")
    synced(made)
    google_drive.delete("1")
    google_drive.expire()
    assert synced(made, now=LATER[0])["candidates"] == 1
    assert drain()["created"] == 1
    assert remembered(made) == ["google_drive_2"]


def test_where_it_says_something_else_the_other_gets_one_too(github: GitHubStandIn) -> None:
    for name in ("1", "2"):
        github.put(name, *SAME)
    made = add_connection()
    synced(made)
    drain()
    github.put("1", "Office", "The office stays in Porto.")
    assert synced(made, now=LATER[0])["candidates"] == 2
    drain()
    assert len(remembered(made)) == 2
    assert synced(made, now=LATER[1])["candidates"] == 0


def test_a_document_that_was_moved_is_remembered_where_it_is(google_drive: GoogleDriveStandIn) -> None:
    """Gone and there within one page."""
    google_drive.put("1", *SAME)
    made = add_connection("google_drive")
    synced(made)
    drain()
    google_drive.delete("1")
    google_drive.put("2", *SAME)
    synced(made, now=LATER[0])
    drain()
    assert remembered(made) == ["google_drive_2"]


def test_so_is_one_that_comes_long_after_the_other_went(google_drive: GoogleDriveStandIn) -> None:
    google_drive.put("1", *SAME)
    made = add_connection("google_drive")
    synced(made)
    drain()
    google_drive.delete("1")
    synced(made, now=LATER[0])
    google_drive.put("2", *SAME)
    google_drive.put("3", *SAME)
    assert synced(made, now=LATER[1])["candidates"] == 1
    drain()
    assert remembered(made) == ["google_drive_2"]


def test_what_was_nearly_the_same_is_decided_on_again(google_drive: GoogleDriveStandIn, openai: OpenAIStandIn) -> None:
    del openai
    google_drive.put("1", *SAME)
    google_drive.put("2", SAME[0], f"{SAME[1]} ")
    google_drive.put("3", SAME[0], SAME[1].upper())
    made = add_connection("google_drive")
    synced(made)
    assert {name: number for name, number in drain().items() if number} == {
        "scanned": 2,
        "created": 1,
        "discarded_redundant": 1,
    }
    google_drive.delete("1")
    google_drive.delete("2")
    synced(made, now=LATER[0])
    assert drain()["created"] == 1
    assert remembered(made) == ["google_drive_3"]


def test_a_page_that_deletes_and_the_capture_queue_wait_for_each_other_in_one_order(
    google_drive: GoogleDriveStandIn,
) -> None:
    """The queue has taken the candidate of what the page deletes, and wants its user, whom the page wants too."""
    google_drive.put("1", *SAME)
    made = add_connection("google_drive")
    synced(made)
    google_drive.put("2", "Lunch", "Lunch is at noon on Fridays.")
    google_drive.delete("1")
    job = add_job(made, created_at=LATER[0])
    page = threading.Thread(target=attempt, args=(job,), kwargs={"now": LATER[0]})
    with transaction() as connection:
        (candidate,) = (row["id"] for row in rows_of("select id from memory.memory_candidates"))
        batch = capture.take_one(connection, candidate)
        page.start()
        eventually(_somebody_waits, 10, what="the page at the candidate")
        (verdict,) = promote(connection, batch, {}, LATER[0])
    page.join(20)
    assert (verdict.decision, job_row(job)["status"], page.is_alive()) == ("created", "COMPLETED", False)
    assert job_row(job)["memories_deleted"] == 1


def _somebody_waits() -> bool:
    return bool(value_of("select count(*) from pg_locks where not granted"))
