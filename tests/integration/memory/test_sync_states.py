"""A sync job from PENDING to its end: retries, what is cut off, limits, storms, and one bad object among good ones."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from dramatiq.middleware import Shutdown
from sqlalchemy import Connection

from actors.memory.candidates import Candidate, propose
from actors.memory.clients import provider
from actors.memory.clients.github import GitHub
from actors.memory.clients.source import Page, RateLimited, SourceObject
from actors.memory.settings import get_memory_settings
from actors.memory.syncs import pages
from actors.memory.syncs.job import run_sync_job, sync
from actors.memory.syncs.state import Task
from actors.memory.texts import Keyring
from callboard import AuthenticationError, BreakerOpen, Delays, PermanentError, Postponed, Run, TransientError, seal
from callboard.retry import retry_after
from tests.integration.memory.kit import NOW, add_tenant, rows_of, value_of
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
    from sandbox.documents import DocumentStandIn
    from sandbox.github import GitHubStandIn
    from sandbox.google_drive import GoogleDriveStandIn
    from sandbox.notion import NotionStandIn
    from sandbox.onedrive import OneDriveStandIn

ISSUES = "/repos/acme/shop/issues"


def fill(stand_in: DocumentStandIn, number: int) -> None:
    for each in range(1, number + 1):
        stand_in.put(str(each), f"Title {each}", f"Text of document {each}.", edited=NOW + timedelta(minutes=each))


def state(job: UUID) -> tuple[str, int]:
    row = job_row(job)
    return row["status"], row["attempts"]


def test_retries_are_60_300_and_900_seconds_apart() -> None:
    policy = run_sync_job.spec.retry
    assert policy == Delays(60, 300, 900, jitter=0)
    assert [policy.delay(number, random=lambda: 0.9) for number in (1, 2, 3, 4)] == [60, 300, 900, None]


def test_a_failing_provider_is_tried_four_times_and_then_the_job_has_failed(github: GitHubStandIn) -> None:
    github.fail(status=500, times=None)
    made = add_connection(cursor='{"since":null}')
    job = add_job(made)
    for number in (1, 2, 3):
        with pytest.raises(TransientError, match="answered 500"):
            attempt(job)
        assert state(job) == ("PENDING", number)
        assert "answered 500" in job_row(job)["error"]
    with pytest.raises(PermanentError, match="given up after 4 attempts"):
        attempt(job)
    row = job_row(job)
    assert (row["status"], row["attempts"], row["completed_at"]) == ("FAILED", 4, NOW)
    assert connection_row(made)["cursor"] == '{"since":null}', "the cursor moves on success only"
    assert connection_row(made)["status"] == "active"


def test_a_job_that_recovers_completes_and_forgets_its_error(github: GitHubStandIn) -> None:
    fill(github, 2)
    github.fail(reset=True)
    job = add_job(add_connection())
    with pytest.raises(TransientError, match="cannot be reached"):
        attempt(job)
    attempt(job)
    row = job_row(job)
    assert (row["status"], row["attempts"], row["error"], row["total_items"]) == ("COMPLETED", 2, None, 2)


def test_a_job_that_is_over_is_not_begun_again(github: GitHubStandIn) -> None:
    job = add_job(add_connection(), status="COMPLETED")
    run = attempt(job)
    assert run.is_quiet
    assert not github.requests


def test_only_a_replay_begins_a_failed_job_anew(github: GitHubStandIn) -> None:
    fill(github, 1)
    job = add_job(add_connection(), status="FAILED", attempts=4)
    attempt(job)
    assert state(job) == ("FAILED", 4)
    sync(job, Run(job="run_sync_job", trigger="replay:7"), get_memory_settings(), lambda: NOW)
    assert state(job) == ("COMPLETED", 1)


def test_a_replay_waits_for_no_newer_job_of_its_connection(github: GitHubStandIn) -> None:
    made = add_connection()
    old = add_job(made, status="FAILED", attempts=4)
    add_job(made)
    sync(old, Run(job="run_sync_job", trigger="replay:7"), get_memory_settings(), lambda: NOW)
    assert state(old) == ("FAILED", 4)
    assert not github.requests


def test_the_report_has_every_name_of_it(github: GitHubStandIn) -> None:
    fill(github, 2)
    counts = attempt(add_job(add_connection())).counts
    assert tuple(counts) == pages.NAMES
    assert (counts["total_items"], counts["processed_items"], counts["candidates"]) == (2, 2, 2)


class TestCutOff:
    def test_a_job_killed_in_the_middle_goes_on_at_its_page(
        self, github: GitHubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A kill runs no handler: the second page is fetched, its transaction is rolled back, the row stays RUNNING."""
        fill(github, 102)
        made = add_connection()
        job = add_job(made)
        written: list[int] = []

        def dies(task: Task, page: Page, now: datetime) -> Counter[str]:
            if written:
                raise SystemExit
            written.append(1)
            return pages.write_page(task, page, now)

        with monkeypatch.context() as patch:
            patch.setattr("actors.memory.syncs.job.write_page", dies)
            with pytest.raises(SystemExit):
                attempt(job)
        assert (state(job), job_row(job)["pages"], len(objects("id"))) == (("RUNNING", 1), 1, 100)
        assert cursor_of(made) is None
        asked = len(github.requests)
        attempt(job)
        row = job_row(job)
        assert (state(job), row["starts"]) == (("COMPLETED", 1), 2), "an attempt that is cut off goes on"
        assert (row["pages"], row["total_items"], row["candidates"]) == (2, 102, 102)
        assert len(github.requests) - asked == 1, "the first page was read again"

    def test_a_page_is_written_whole_or_not_at_all(
        self, github: GitHubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(github, 3)
        job = add_job(add_connection())

        def dies(connection: Connection, candidates: Sequence[Candidate], *, keyring: Keyring) -> int:
            propose(connection, candidates, keyring=keyring)
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(pages, "propose", dies)
            with pytest.raises(SystemExit):
                attempt(job)
        assert objects("id") == []
        assert value_of("select count(*) from memory.memory_candidates") == 0
        attempt(job)
        assert job_row(job)["candidates"] == 3

    def test_a_second_run_of_the_same_job_makes_the_first_one_stop(
        self, github: GitHubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(github, 102)
        job = add_job(add_connection())
        page = GitHub.page
        inside: list[int] = []

        def overtaken(self: GitHub, cursor: str | None) -> Page:
            answer = page(self, cursor)
            if not inside:
                inside.append(1)
                attempt(job)
            return answer

        monkeypatch.setattr(GitHub, "page", overtaken)
        attempt(job)
        row = job_row(job)
        assert (row["status"], row["starts"], row["pages"], row["total_items"]) == ("COMPLETED", 2, 2, 102)

    def test_a_worker_that_stops_uses_up_no_attempt(
        self, github: GitHubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(github, 1)
        job = add_job(add_connection())

        def stops(_: GitHub, __: str | None) -> Page:
            raise Shutdown

        with monkeypatch.context() as patch:
            patch.setattr(GitHub, "page", stops)
            for _ in range(6):
                with pytest.raises(Shutdown):
                    attempt(job)
        assert state(job) == ("PENDING", 0)
        attempt(job)
        assert state(job) == ("COMPLETED", 1)

    def test_a_job_that_kills_its_worker_every_time_fails_in_the_end(self, github: GitHubStandIn) -> None:
        job = add_job(add_connection(), status="RUNNING", attempts=1, starts=30)
        with pytest.raises(PermanentError, match="cut off 30 times"):
            attempt(job)
        assert state(job) == ("FAILED", 1)
        assert not github.requests

    def test_a_cancelled_job_stops_at_the_next_page_and_keeps_the_cursor(
        self, github: GitHubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(github, 102)
        made = add_connection()
        job = add_job(made)
        run = Run(job="run_sync_job")
        page = GitHub.page

        def asked_to_stop(self: GitHub, cursor: str | None) -> Page:
            run.request_cancel()
            return page(self, cursor)

        monkeypatch.setattr(GitHub, "page", asked_to_stop)
        sync(job, run, get_memory_settings(), lambda: NOW)
        assert (job_row(job)["status"], job_row(job)["pages"]) == ("CANCELLED", 1)
        assert cursor_of(made) is None
        synced(made)
        assert len(objects("id")) == 102


class TestEndless:
    @pytest.fixture(params=["github", "notion", "google_drive", "onedrive"])
    def name(self, request: pytest.FixtureRequest) -> str:
        chosen: str = request.param
        return chosen

    @pytest.fixture
    def stand_in(self, name: str, memory_database: str, request: pytest.FixtureRequest) -> DocumentStandIn:
        del memory_database
        made: DocumentStandIn = request.getfixturevalue(name)
        fill(made, 2)
        return made

    def test_a_provider_that_pages_for_ever_stops_at_the_page_limit(self, name: str, stand_in: DocumentStandIn) -> None:
        stand_in.endless = True
        made = add_connection(name)
        row = synced(made, sync_page_limit=7)
        assert row["pages"] == 7
        assert "limit of 7 pages" in row["error"]
        stand_in.endless = False
        assert synced(made)["error"] is None, "the next sync goes on where this one stopped"
        assert len(objects("id")) == 2

    def test_a_cursor_that_does_not_move_is_an_error_at_once(self, name: str, stand_in: DocumentStandIn) -> None:
        stand_in.stuck = True
        job = add_job(add_connection(name))
        with pytest.raises(TransientError, match=r"repeats (a|its) cursor"):
            attempt(job)
        assert state(job) == ("PENDING", 1)
        assert len([path for path, _ in stand_in.requests if "content" not in path]) < 10


def test_a_provider_whose_cursors_always_expire_is_an_error(onedrive: OneDriveStandIn) -> None:
    onedrive.fail(status=410, times=None)
    job = add_job(add_connection("onedrive"))
    with pytest.raises(TransientError, match="lets every cursor expire"):
        attempt(job)
    assert len(onedrive.requests) == 1


class TestStorm:
    def test_429_storm_the_engine_is_told_how_long_to_wait(self, notion: NotionStandIn) -> None:
        notion.fail(status=429, retry_after=77, times=None)
        job = add_job(add_connection("notion"))
        with pytest.raises(RateLimited) as raised:
            attempt(job)
        assert retry_after(raised.value) == 77
        assert (state(job), len(notion.requests)) == (("PENDING", 1), 1)

    def test_429_storm_a_short_wait_is_sat_out_within_the_attempt(
        self, notion: NotionStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited: list[float] = []
        monkeypatch.setattr(provider, "sleep", waited.append)
        notion.put("1", "Title", "Text of the page.")
        notion.fail(status=429, retry_after=2, times=3)
        job = add_job(add_connection("notion"))
        attempt(job, sync_patience_seconds=10.0)
        assert waited == [2, 2, 2]
        assert state(job) == ("COMPLETED", 1)

    def test_429_storm_one_that_never_ends_is_given_back_after_progress_and_counted_without(
        self, github: GitHubStandIn
    ) -> None:
        fill(github, 102)
        job = add_job(add_connection())
        github.fail(
            status=429, retry_after=9, path=f"{ISSUES}?state=all&sort=updated&direction=desc&per_page=100&page=2"
        )
        with pytest.raises(Postponed) as raised:
            attempt(job)
        assert raised.value.seconds == 9
        assert (state(job), job_row(job)["pages"]) == (("PENDING", 0), 1)
        github.fail(status=429, retry_after=9, times=4)
        for number in (1, 2, 3):
            with pytest.raises(RateLimited):
                attempt(job)
            assert state(job) == ("PENDING", number)
        with pytest.raises(PermanentError, match="given up after 4"):
            attempt(job)
        assert state(job) == ("FAILED", 4)

    def test_github_says_403_and_when_its_limit_is_reset(self, github: GitHubStandIn) -> None:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 600)}
        github.fail(status=403, headers=headers)
        with pytest.raises(RateLimited) as raised:
            attempt(add_job(add_connection()))
        assert 590 < (retry_after(raised.value) or 0) <= 600

    def test_google_says_403_with_a_reason(self, google_drive: GoogleDriveStandIn) -> None:
        google_drive.error = lambda status, code, message: {  # type: ignore[method-assign] # another reason
            "error": {"code": status, "message": message, "errors": [{"reason": "userRateLimitExceeded", "c": code}]}
        }
        google_drive.fail(status=403, times=5)
        with pytest.raises(RateLimited):
            attempt(add_job(add_connection("google_drive")))

    def test_a_rate_limit_does_not_open_the_breaker(self, notion: NotionStandIn) -> None:
        notion.fail(status=429, retry_after=60, times=7)
        for _ in range(7):
            with pytest.raises(RateLimited):
                attempt(add_job(add_connection("notion")))
        synced(add_connection("notion"))


def test_the_breaker_of_a_provider_spares_it_and_uses_up_no_attempt(github: GitHubStandIn) -> None:
    github.fail(status=503, times=None)
    for _ in range(5):
        with pytest.raises(TransientError):
            attempt(add_job(add_connection()))
    job = add_job(add_connection())
    with pytest.raises(Postponed) as raised:
        attempt(job)
    assert isinstance(raised.value.__cause__, BreakerOpen)
    assert 0 < raised.value.seconds <= 60
    assert (state(job), len(github.requests)) == (("PENDING", 0), 5)
    assert value_of("select key from board.breakers where state = 'open'") == "sync:github"


class TestBadObjects:
    def test_one_bad_object_is_counted_and_never_fatal(self, github: GitHubStandIn) -> None:
        fill(github, 3)
        github.put("4", raw={"number": "no number", "id": 4})
        github.put("5", raw=None, title="\x00 a null \ud800 and half a pair")
        github.put("6", raw="no object at all")
        row = synced(add_connection())
        assert (row["total_items"], row["processed_items"], row["failed_items"]) == (6, 4, 2)
        assert row["error"] == "2 objects could not be read"
        assert len(objects("id")) == 4

    def test_what_postgres_refuses_is_one_bad_object_too(
        self, github: GitHubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(github, 3)
        candidate = pages._candidate

        def poisoned(task: Task, one: SourceObject, object_id: int, *, again: bool) -> Candidate:
            if one.id.endswith("#2"):
                object_id = 10**15  # no such object: a foreign key is violated
            return candidate(task, one, object_id, again=again)

        monkeypatch.setattr(pages, "_candidate", poisoned)
        row = synced(add_connection())
        assert (row["processed_items"], row["failed_items"], row["candidates"]) == (2, 1, 2)

    def test_an_object_the_provider_breaks_on_is_retried_and_given_up_in_the_last_attempt(
        self, google_drive: GoogleDriveStandIn
    ) -> None:
        fill(google_drive, 3)
        google_drive.fail(status=500, times=None, path="/drive/v3/files/2/export")
        job = add_job(add_connection("google_drive"))
        for _ in range(3):
            with pytest.raises(TransientError):
                attempt(job)
        attempt(job)
        row = job_row(job)
        assert (row["status"], row["failed_items"], row["processed_items"]) == ("COMPLETED", 1, 2)

    def test_a_full_sync_with_bad_objects_concludes_nothing_from_what_it_did_not_see(
        self, google_drive: GoogleDriveStandIn
    ) -> None:
        fill(google_drive, 2)
        made = add_connection("google_drive")
        synced(made)
        google_drive.fail(status=403, path="/drive/v3/files/2/export")
        later = NOW + timedelta(hours=1)
        attempt(add_job(made, cursor=None, type="FULL", created_at=later), now=later)
        assert objects("deleted_at") == [(None,), (None,)]

    def test_a_bad_answer_is_transient(self, github: GitHubStandIn) -> None:
        for answer in ({"message": "hello"}, "text", 7):
            github.fail(answer=answer)
            with pytest.raises(TransientError, match="something else than a list"):
                attempt(add_job(add_connection()))
        fill(github, 1)
        github.fail(malformed=True)
        with pytest.raises(TransientError, match="broken JSON"):
            attempt(add_job(add_connection()))


class TestCap:
    def test_a_fourth_sync_of_a_tenant_waits_for_a_place(self, github: GitHubStandIn) -> None:
        tenant = add_tenant()
        for _ in range(3):
            add_job(add_connection(tenant=tenant), status="RUNNING", attempts=1)
        job = add_job(add_connection(tenant=tenant))
        with pytest.raises(Postponed, match="too many concurrent syncs"):
            attempt(job)
        assert state(job) == ("PENDING", 0)
        synced(add_connection())
        assert len(github.requests) == 1

    def test_a_connection_that_is_not_active_cancels_its_job(self, github: GitHubStandIn) -> None:
        job = add_job(add_connection(status="disabled"))
        attempt(job)
        assert (job_row(job)["status"], job_row(job)["error"]) == ("CANCELLED", "the connection is disabled")
        assert not github.requests


class TestTokens:
    def test_a_revoked_token_needs_a_person(self, github: GitHubStandIn) -> None:
        github.tokens.clear()
        made = add_connection()
        job = add_job(made)
        with pytest.raises(AuthenticationError, match="connect again"):
            attempt(job)
        assert (job_row(job)["status"], connection_row(made)["status"]) == ("FAILED", "needs_reauth")

    def test_an_expired_token_is_renewed_before_it_is_used(self, google_drive: GoogleDriveStandIn) -> None:
        made = add_connection("google_drive", token_expires_at=NOW - timedelta(days=1))
        synced(made)
        assert next(path for path, _ in google_drive.requests) == "/token"
        assert connection_row(made)["token_expires_at"] > NOW

    def test_a_token_that_is_refused_is_renewed_and_the_request_made_again(self, onedrive: OneDriveStandIn) -> None:
        onedrive.tokens.clear()
        onedrive.rotates = True
        fill(onedrive, 1)
        made = add_connection("onedrive")
        before = connection_row(made)
        assert synced(made)["total_items"] == 1
        after = connection_row(made)
        assert bytes(after["refresh_token"]) != bytes(before["refresh_token"]), "a rotated refresh token is kept"
        onedrive.tokens.clear()
        synced(made)

    def test_invalid_grant_needs_a_person(self, google_drive: GoogleDriveStandIn) -> None:
        google_drive.tokens.clear()
        google_drive.refresh_tokens.clear()
        made = add_connection("google_drive")
        job = add_job(made)
        with pytest.raises(AuthenticationError, match="invalid_grant; the user must connect google_drive again"):
            attempt(job)
        assert (job_row(job)["status"], connection_row(made)["status"]) == ("FAILED", "needs_reauth")

    def test_a_token_server_that_is_down_is_transient(self, google_drive: GoogleDriveStandIn) -> None:
        google_drive.tokens.clear()
        google_drive.fail(status=503, path="/token")
        job = add_job(add_connection("google_drive"))
        with pytest.raises(TransientError, match="answered 503"):
            attempt(job)
        assert state(job) == ("PENDING", 1)

    def test_an_installation_that_the_provider_does_not_know_names_its_settings(
        self, google_drive: GoogleDriveStandIn
    ) -> None:
        google_drive.tokens.clear()
        made = add_connection("google_drive")
        job = add_job(made)
        with pytest.raises(PermanentError, match="CALLBOARD_MEMORY_GOOGLE_CLIENT_ID"):
            attempt(job, google_client_id="")
        assert connection_row(made)["status"] == "active", "no user can mend that"

    def test_no_token_is_kept_or_told_in_the_open(
        self, google_drive: GoogleDriveStandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = add_connection("google_drive", access_token=seal(b"ya29.secret-token"))
        synced(made)
        google_drive.refresh_tokens.clear()
        google_drive.tokens.clear()
        with pytest.raises(AuthenticationError):
            attempt(add_job(made))
        told = str(rows_of("select c, j from memory.connections c, memory.sync_jobs j")) + caplog.text
        for token in ("ya29.secret-token", "refresh-0", *google_drive.tokens):
            assert token not in told
            assert token.encode().hex() not in told
