"""Every provider, whole: everything, then what changed, what was deleted, and a cursor that is no good any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from actors.memory.texts import Keyring
from callboard import PermanentError, TransientError, transaction
from sandbox.documents import DocumentStandIn
from sandbox.faults import Fault
from sandbox.github import GitHubStandIn
from sandbox.google_drive import GoogleDriveStandIn
from sandbox.notion import NotionStandIn, page_id
from sandbox.onedrive import OneDriveStandIn
from tests.integration.memory.kit import NOW, rows_of, value_of
from tests.integration.memory.queueing import drain
from tests.integration.memory.syncing import (
    add_connection,
    add_job,
    attempt,
    connection_row,
    cursor_of,
    job_row,
    objects,
    synced,
)

if TYPE_CHECKING:
    from uuid import UUID

PROVIDERS = ("github", "notion", "google_drive", "onedrive")
#: Those that tell of what was deleted.
TELLING = ("google_drive", "onedrive")


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def stand_in(provider: str, memory_database: str, request: pytest.FixtureRequest) -> DocumentStandIn:
    del memory_database  # named, so that the servers it needs are there before the test is watched
    made: DocumentStandIn = request.getfixturevalue(provider)
    return made


def texts(connection_id: UUID) -> dict[str, str]:
    """What the candidates of a connection say, by key."""
    user = connection_row(connection_id)["user_id"]
    rows = rows_of("select extracted_key, content_ciphertext from memory.memory_candidates order by id")
    with transaction() as connection:
        keyring = Keyring.of(connection, [user])
    return {row["extracted_key"]: keyring.decrypt(user, bytes(row["content_ciphertext"])) for row in rows}


def edited(minutes: int) -> dict[str, Any]:
    return {"edited": NOW + timedelta(minutes=minutes)}


def test_everything_comes_once_and_then_only_what_changed(provider: str, stand_in: DocumentStandIn) -> None:
    for number in range(1, 4):
        stand_in.put(str(number), f"Title {number}", f"Text of document {number}.", **edited(number))
    made = add_connection(provider)
    first = synced(made)
    assert (first["type"], first["total_items"], first["candidates"], first["failed_items"]) == ("FULL", 3, 3, 0)
    assert first["memories_deleted"] == 0
    assert set(texts(made).values()) == {f"Title {n} Text of document {n}." for n in (1, 2, 3)}
    stand_in.put("2", "Title 2", "It says something else now.", **edited(9))
    second = synced(made, now=NOW + timedelta(hours=1))
    assert (second["type"], second["candidates"]) == ("INCREMENTAL", 1)
    third = synced(made, now=NOW + timedelta(hours=2))
    assert (third["candidates"], third["failed_items"]) == (0, 0)
    assert len(objects("id")) == 3
    assert "Title 2 It says something else now." in texts(made).values()


def test_nothing_at_all_is_a_good_sync_too(provider: str, stand_in: DocumentStandIn) -> None:
    row = synced(add_connection(provider))
    assert (row["total_items"], row["pages"], row["error"]) == (0, 1, None)
    assert stand_in.requests


def test_more_than_a_page_comes_whole(provider: str, stand_in: DocumentStandIn) -> None:
    kind = "image/png" if provider in TELLING else ""  # whose text nobody asks for
    for number in range(1, 103):
        stand_in.put(str(number), f"Title {number}", kind=kind, **edited(number))
    row = synced(add_connection(provider))
    assert (row["total_items"], row["processed_items"], row["pages"]) == (102, 102, 2)
    assert len({name for (name,) in objects("source_object_id")}) == 102


def test_an_expired_cursor_means_that_everything_is_read_anew(provider: str, stand_in: DocumentStandIn) -> None:
    """410 of OneDrive and Google, 400 of Notion; GitHub has no cursor that could expire."""
    for number in range(1, 4):
        stand_in.put(str(number), f"Title {number}", f"Text of document {number}.", **edited(number))
    made = add_connection(provider)
    synced(made)
    stand_in.put("4", "Title 4", "Text of document 4.", **edited(4))
    stand_in.delete("1")
    stand_in.expire()
    row = synced(made, now=NOW + timedelta(hours=1))
    full = {"google_drive": "FULL", "onedrive": "FULL"}
    assert row["type"] == full.get(provider, "INCREMENTAL")
    assert row["candidates"] == 1
    gone = [name for name, deleted in objects("source_object_id", "deleted_at") if deleted is not None]
    assert gone == (["1"] if provider in full else [])
    assert synced(made, now=NOW + timedelta(hours=2))["type"] == "INCREMENTAL"


def test_an_expired_cursor_in_the_middle_of_a_list_starts_over(notion: NotionStandIn) -> None:
    for number in range(102):
        notion.put(str(number), f"Title {number}", **edited(number))
    job = add_job(add_connection("notion"))
    notion.fail(status=500, path="/v1/search", contains="start_cursor")
    with pytest.raises(TransientError):
        attempt(job)
    assert (job_row(job)["pages"], job_row(job)["status"]) == (1, "PENDING")
    notion.expire()
    attempt(job)
    row = job_row(job)
    assert (row["status"], row["type"], row["pages"], len(objects("id"))) == ("COMPLETED", "FULL", 3, 102)


@pytest.mark.parametrize("provider", TELLING, indirect=True)
def test_what_is_deleted_there_ends_here(provider: str, stand_in: DocumentStandIn) -> None:
    stand_in.put("1", "Plan", "We launch in May, says the plan.")
    made = add_connection(provider)
    synced(made)
    drain()
    stand_in.delete("1")
    later = NOW + timedelta(hours=1)
    assert synced(made, now=later)["memories_deleted"] == 1
    assert value_of("select expires_at from memory.memories") == later
    assert value_of("select deletion_method from memory.memories") == "user_request"
    assert objects("deleted_at") == [(later,)]
    assert synced(made, now=later + timedelta(hours=1))["memories_deleted"] == 0


def test_a_candidate_of_what_is_deleted_there_is_not_decided_on_any_more(onedrive: OneDriveStandIn) -> None:
    onedrive.put("1", "Plan", "We launch in May, says the plan.")
    made = add_connection("onedrive")
    synced(made)
    onedrive.delete("1")
    synced(made)
    assert value_of("select decision from memory.memory_candidates") == "discarded_policy"
    assert value_of("select length(content_ciphertext) from memory.memory_candidates") == 0


def test_a_full_sync_finds_out_what_is_gone_but_not_at_notion_whose_search_leaves_out(
    provider: str, stand_in: DocumentStandIn
) -> None:
    for number in range(1, 4):
        stand_in.put(str(number), f"Title {number}", f"Text of document {number}.", **edited(number))
    made = add_connection(provider)
    synced(made)
    stand_in.delete("2")
    later = NOW + timedelta(hours=1)
    attempt(add_job(made, cursor=None, type="FULL", created_at=later), now=later)
    job = rows_of("select memories_deleted from memory.sync_jobs order by created_at desc")[0]
    assert job["memories_deleted"] == 0, "nothing was made a memory yet"
    left = sum(deleted is None for (deleted,) in objects("deleted_at"))
    assert left == (3 if provider == "notion" else 2)


def test_a_full_sync_with_the_clock_set_back_an_hour_deletes_nothing(github: GitHubStandIn) -> None:
    github.put("1", "Title", "Text of the issue.")
    made = add_connection()
    synced(made)
    job = add_job(made, cursor=None, type="FULL", created_at=NOW + timedelta(hours=2))
    attempt(job, now=NOW + timedelta(hours=1))
    assert objects("deleted_at") == [(None,)]


class TestGitHub:
    def test_pull_requests_come_with_the_issues(self, github: GitHubStandIn) -> None:
        github.put("7", "Crash on start", "It crashes when the disk is full.")
        github.put("8", "Fix the crash", "Looks at the disk first.", kind="pull")
        made = add_connection()
        synced(made)
        assert objects("source_object_id", "type") == [("acme/shop#7", "issue"), ("acme/shop#8", "pull_request")]
        assert set(texts(made)) == {"github_acme_shop_7", "github_acme_shop_8"}

    def test_no_title_and_no_text_is_kept_in_the_open(self, github: GitHubStandIn) -> None:
        github.put("7", "Marzipan recipe", "It needs almonds.")
        synced(add_connection())
        kept = str(rows_of("select o, c from memory.external_objects o, memory.memory_candidates c")).casefold()
        assert "marzipan" not in kept
        assert "almond" not in kept

    def test_a_sync_without_news_is_answered_304_and_costs_nothing(self, github: GitHubStandIn) -> None:
        github.put("7", "Title", "Text of the issue.")
        made = add_connection()
        for _ in range(2):
            synced(made)
        before, used = cursor_of(made), github.used
        assert before is not None
        assert before["etag"]
        assert synced(made)["total_items"] == 0
        assert (cursor_of(made), github.used) == (before, used)

    def test_an_issue_that_changes_while_we_page_is_found_by_the_next_sync(self, github: GitHubStandIn) -> None:
        for number in range(1, 103):
            github.put(str(number), f"Title {number}", f"Text {number} of an issue.", **edited(number))
        made = add_connection()
        attempt(add_job(made), sync_page_limit=1)
        github.put("3", "Title 3", "It moved to the front of the list.", **edited(500))
        synced(made)
        synced(made)
        assert len(objects("id")) == 102
        assert "Title 3 It moved to the front of the list." in texts(made).values()

    @pytest.mark.parametrize("repository", ["", "acme", "../../user", "acme/shop?x=1", "a/b/c"])
    def test_a_connection_without_a_repository_names_the_mend(self, github: GitHubStandIn, repository: str) -> None:
        job = add_job(add_connection(options={"repository": repository}))
        with pytest.raises(PermanentError, match="owner/name"):
            attempt(job)
        assert job_row(job)["status"] == "FAILED"
        assert not github.requests

    def test_a_repository_that_is_gone_is_not_asked_for_again(self, github: GitHubStandIn) -> None:
        github.repository = "acme/other"
        job = add_job(add_connection())
        with pytest.raises(PermanentError, match="answered 404"):
            attempt(job)
        assert (job_row(job)["status"], len(github.requests)) == ("FAILED", 1)


class TestNotion:
    def test_nested_blocks_are_read_in_order(self, notion: NotionStandIn) -> None:
        notion.put("p", "Handbook", "Chapter one\n  has a section\n  and another\nChapter two")
        made = add_connection("notion")
        synced(made)
        expected = "Handbook Chapter one has a section and another Chapter two"
        assert list(texts(made).values()) == [expected]
        assert objects("source_object_id") == [(page_id("p"),)]

    def test_a_page_that_vanished_between_the_list_and_its_text_is_one_bad_object(self, notion: NotionStandIn) -> None:
        notion.put("a", "Here", "It is here to stay.")
        notion.put("b", "Gone", "It is gone.")
        notion.fail(status=404, path=f"/v1/blocks/{page_id('b')}/children")
        row = synced(add_connection("notion"))
        assert (row["total_items"], row["processed_items"], row["failed_items"]) == (2, 1, 1)

    def test_a_known_page_ends_the_search(self, notion: NotionStandIn) -> None:
        for number in range(102):
            notion.put(str(number), f"Title {number}", **edited(number))
        made = add_connection("notion")
        synced(made)
        notion.put("3", "Title 3, changed", **edited(999))
        asked = len(notion.requests)
        assert synced(made)["pages"] == 1
        assert len([path for path, _ in list(notion.requests)[asked:] if path == "/v1/search"]) == 1


class TestGoogleDrive:
    def test_documents_are_exported_texts_downloaded_and_pictures_only_known(
        self, google_drive: GoogleDriveStandIn
    ) -> None:
        google_drive.put("doc", "Plan", "We launch in May.")
        google_drive.put("txt", "notes.txt", "Bring the projector.", kind="text/plain")
        google_drive.put("png", "logo.png", "\x89PNG", kind="image/png")
        google_drive.put("dir", "Folder", kind="application/vnd.google-apps.folder")
        google_drive.put("frm", "Form", kind="application/vnd.google-apps.form")
        made = add_connection("google_drive")
        row = synced(made)
        assert (row["total_items"], row["candidates"]) == (4, 2)
        assert set(texts(made).values()) == {"Plan We launch in May.", "notes.txt Bring the projector."}

    def test_a_file_that_is_too_large_is_known_but_not_read(self, google_drive: GoogleDriveStandIn) -> None:
        google_drive.put("big", "big.txt", "x" * 1_000_001, kind="text/plain")
        row = synced(add_connection("google_drive"))
        assert (row["total_items"], row["failed_items"], row["candidates"]) == (1, 0, 0)
        assert not any("alt=media" in path for path, _ in google_drive.requests)

    def test_an_export_that_is_too_large_is_one_bad_object(self, google_drive: GoogleDriveStandIn) -> None:
        google_drive.put("big", "Big", "x" * 1_000_001)
        google_drive.put("doc", "Plan", "We launch in May.")
        row = synced(add_connection("google_drive"))
        assert (row["failed_items"], row["candidates"]) == (1, 1)

    def test_a_change_between_the_start_token_and_the_list_is_not_lost(self, google_drive: GoogleDriveStandIn) -> None:
        google_drive.put("doc", "Plan", "We launch in May.")
        made = add_connection("google_drive")
        attempt(add_job(made), sync_page_limit=1)
        google_drive.put("new", "News", "We launch in June.")
        assert synced(made)["candidates"] == 1


class TestOneDrive:
    def test_repeated_items_and_empty_pages_are_borne(self, onedrive: OneDriveStandIn) -> None:
        onedrive.repeats = True
        for number in range(1, 103):
            onedrive.put(str(number), f"{number}.png", kind="image/png")
        row = synced(add_connection("onedrive"))
        assert (row["pages"], len(objects("id"))) == (3, 102)

    def test_folders_are_left_out(self, onedrive: OneDriveStandIn) -> None:
        onedrive.put("f", "Folder", kind="folder")
        onedrive.put("1", "plan.txt", "We launch in May.")
        assert synced(add_connection("onedrive"))["total_items"] == 1
        assert objects("source_object_id") == [("1",)]

    def test_the_token_does_not_go_where_a_file_is_downloaded_from(self, onedrive: OneDriveStandIn) -> None:
        seen: list[str | None] = []

        class Elsewhere(OneDriveStandIn):
            def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:
                seen.append(self.headers.get("Authorization"))
                return super().answer(method, path, body, fault)

        onedrive.put("1", "plan.txt", "not this one")
        with Elsewhere() as elsewhere:
            elsewhere.put("1", "plan.txt", "We launch in May.")
            location = {"Location": f"{elsewhere.url}/download/1"}
            onedrive.fail(status=302, path="/v1.0/me/drive/items/1/content", headers=location)
            made = add_connection("onedrive")
            synced(made)
        assert seen == [None]
        assert list(texts(made).values()) == ["plan.txt We launch in May."]

    def test_a_link_that_leads_elsewhere_gets_no_token(self, onedrive: OneDriveStandIn) -> None:
        answer = {"value": [], "@odata.nextLink": "https://evil.example/v1.0/me/drive/root/delta?token=1"}
        onedrive.fail(answer=answer)
        job = add_job(add_connection("onedrive"))
        with pytest.raises(PermanentError, match="no token goes anywhere but"):
            attempt(job)
        assert job_row(job)["status"] == "FAILED"
