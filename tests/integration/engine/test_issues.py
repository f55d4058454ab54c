"""Issues: how failures are folded into them, and what people do with them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from callboard import AuthenticationError, NoRetry, NotFound, job
from callboard.errors import Invalid
from callboard.failures import IssueType, Kind
from callboard.ledger import failures, issues
from callboard.ledger.database import transaction
from callboard.ledger.failures import Failing
from callboard.operations import Who
from callboard.operations import issues as operations
from callboard.outcome import Failure
from tests.board import Board
from tests.integration.engine.recorder_kit import facts
from tests.support import eventually

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

ANNA, BERT = Who("cli:anna"), Who("cli:bert")


def happen(name: str = "ValueError: no", *, times: int = 1, **given: Any) -> RowMapping:  # noqa: ANN401 - of RunFacts
    """Let an attempt fail so many times in one transaction; the issue."""
    error = ValueError(name)
    run = facts(**given)
    failure = Failure.of(error, job=run.job, scope=run.concern)
    with transaction() as connection:
        for attempt in range(times):
            failures.record(connection, Failing(facts(**given), attempt + 1, failure))
        query = "select id from board.issues where fingerprint = %(fingerprint)s"
        row = connection.exec_driver_sql(query, {"fingerprint": failure.fingerprint}).scalar_one()
        return issues.get(connection, row)


def issue(issue_id: int) -> RowMapping:
    with transaction() as connection:
        return issues.get(connection, issue_id)


def test_what_an_issue_says_follows_from_its_failures(board: Board) -> None:
    @job("sync", retry=NoRetry(), single_per="account")
    def sync(account: str) -> None:
        if account == "locked":
            raise AuthenticationError("cookie 7 expired")
        if account == "buggy":
            raise AttributeError("'NoneType' object has no attribute 'id'")
        raise ConnectionError(f"{account}: connection refused")

    with board.worker():
        for account in ("locked", "buggy", "away"):
            sync.send(account)
        eventually(lambda: board.one("select count(*) from board.failures") == 3)
    rows = {row.scope: row for row in board.query("select * from board.issues")}
    told = {scope: (row.type, row.severity, row.status, row.occurrences) for scope, row in rows.items()}
    assert told == {
        "locked": ("authentication_required", "critical", "open", 1),
        "buggy": ("job_manual_review_required", "error", "open", 1),
        "away": ("job_failure", "error", "open", 1),
    }
    assert rows["buggy"].job == "sync"


def test_refused_credentials_of_one_scope_are_one_issue_whatever_they_say() -> None:
    said = [AuthenticationError("cookie expired"), PermissionErrorLike("401 from the gate")]
    prints = {Failure.of(error, job="sync", scope="7", kind=Kind.AUTHENTICATION).fingerprint for error in said}
    assert len(prints) == 1
    assert Failure.of(said[0], job="sync", scope="8", kind=Kind.AUTHENTICATION).fingerprint not in prints


class PermissionErrorLike(Exception):
    """Something else that means the same."""


def test_poison_is_for_people_to_review() -> None:
    assert Failure.of(ValueError("x"), job="j", scope="", kind=Kind.POISON).issue_type == "job_manual_review_required"
    assert {kind.severity for kind in IssueType} == {"error", "critical"}


def test_two_projects_never_share_an_issue(board: Board) -> None:
    one, two = happen(project_id="p1"), happen(project_id="p2")
    assert one["id"] != two["id"]
    assert (one["project_id"], two["project_id"]) == ("p1", "p2")
    assert happen(project_id="p1")["occurrences"] == 2
    assert board.one("select count(*) from board.issues") == 2


def test_no_secret_of_an_error_is_kept(board: Board) -> None:
    found = happen("cannot reach postgres://u:hunter2@h/db with api_key=abcdef123456")
    (row,) = board.query("select error, traceback from board.failures")
    for text in (found["title"], row.error, row.traceback):
        assert "hunter2" not in text
        assert "abcdef123456" not in text


def test_acts_leave_a_row_in_the_audit(board: Board) -> None:
    number = happen()["id"]
    operations.take(number, who=ANNA, why="I look")
    operations.take(number, who=ANNA)  # nothing new
    operations.resolve(number, who=BERT, why="fixed by 1.2")
    operations.resolve(number, who=ANNA)
    operations.silence(number, datetime.now(UTC) + timedelta(hours=1), who=ANNA)
    operations.silence(number, None, who=ANNA)
    told = board.query("select who, action, resource_type, resource_id, why from board.audit order by id")
    assert [(row.who, row.action, row.why) for row in told] == [
        ("cli:anna", "issue.take", "I look"),
        ("cli:bert", "issue.resolve", "fixed by 1.2"),
        ("cli:anna", "issue.silence", ""),
        ("cli:anna", "issue.unsilence", ""),
    ]
    assert {(row.resource_type, row.resource_id) for row in told} == {("issue", str(number))}
    assert (issue(number)["status_by"], issue(number)["note"]) == ("cli:bert", "fixed by 1.2")


def test_what_cannot_be_is_refused_in_words(board: Board) -> None:
    number = happen()["id"]
    with pytest.raises(NotFound, match="No issue has the id 9999"):
        operations.resolve(9999, who=ANNA)
    with pytest.raises(NotFound, match="No issue has the id 9999"):
        operations.silence(9999, None, who=ANNA)
    with pytest.raises(Invalid, match="is over"):
        operations.silence(number, datetime.now(UTC) - timedelta(seconds=1), who=ANNA)
    assert board.one("select count(*) from board.audit") == 0


def test_sightings_open_resolve_and_come_back(board: Board) -> None:
    kind = IssueType.QUEUE_HEALTH_DEGRADED
    ill = [issues.Sighting("q1", "critical", "q1 has no worker"), issues.Sighting("q2", "critical", "q2 has none")]
    with transaction() as connection:
        issues.sight(connection, kind, ill)
        issues.sight(connection, kind, ill)  # it lasts: still the same occurrence
        assert issues.well(connection, kind, but=["q1"]) == ["q2"]
        issues.sight(connection, kind, ill[1:])
        assert issues.well(connection, "dependency_unavailable", but=[]) == []
    rows = board.query("select subject, status, occurrences, reopened, status_by from board.issues order by subject")
    assert [tuple(row) for row in rows] == [("q1", "open", 1, 0, None), ("q2", "open", 2, 1, "recurrence")]


class Life(RuleBasedStateMachine):
    """One issue, by what may happen to it, beside a model of what it should be."""

    @initialize()
    def begin(self) -> None:
        with transaction() as connection:
            connection.exec_driver_sql("truncate board.issues, board.failures, board.audit")
        self.row: RowMapping = happen("the cause")
        self.status, self.seen, self.reopened = "open", 1, 0
        self.silent = False

    @rule(times=st.integers(1, 3))
    def occurs(self, times: int) -> None:
        happen("the cause", times=times)
        self.seen += times
        if self.status == "resolved":
            self.status, self.reopened = "open", self.reopened + 1

    @rule()
    def is_resolved(self) -> None:
        operations.resolve(self.row["id"], who=ANNA)
        self.status = "resolved"

    @rule(who=st.sampled_from([ANNA, BERT]))
    def is_taken(self, who: Who) -> None:
        assert operations.take(self.row["id"], who=who)["status_by"] == who.name
        self.status = "pending"

    @rule()
    def is_reopened(self) -> None:
        operations.reopen(self.row["id"], who=ANNA)
        self.status = "open"

    @rule(hours=st.one_of(st.none(), st.integers(1, 100)))
    def is_silenced(self, hours: int | None) -> None:
        until = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
        operations.silence(self.row["id"], until, who=BERT)
        self.silent = hours is not None

    @invariant()
    def is_what_it_should_be(self) -> None:
        row = issue(self.row["id"])
        assert (row["status"], row["occurrences"], row["reopened"]) == (self.status, self.seen, self.reopened)
        assert (row["silenced_until"] is not None, row["silenced_by"] is not None) == (self.silent, self.silent)
        assert row["first_seen_at"] <= row["last_seen_at"]
        with transaction() as connection:
            assert connection.exec_driver_sql("select count(*) from board.failures").scalar_one() == self.seen


@pytest.mark.usefixtures("board")
def test_the_life_of_an_issue() -> None:
    few = settings(max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Life, settings=few)


def test_failures_that_come_at_the_same_moment_are_all_counted(board: Board) -> None:
    first = happen("a race")
    operations.resolve(first["id"], who=ANNA)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: happen("a race"), range(24)))
    row = issue(first["id"])
    assert (row["occurrences"], row["reopened"], row["status"]) == (25, 1, "open")
    assert board.one("select count(*) from board.issues") == 1
