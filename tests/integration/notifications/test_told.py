"""Who is told of what, once each, on real servers; and what it costs those whom nobody is told of."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from callboard import Backoff, NoRetry, current_run, every, job, trigger
from callboard.envelope import KEY
from callboard.ledger import runs
from callboard.ledger.database import get_engine, transaction
from callboard.ledger.outgoing import NAME, Outgoing
from callboard.ledger.sending_runs import ENVELOPE
from callboard.operations import Who
from callboard.operations import runs as acts
from sandbox.smtp import SmtpStandIn
from scheduler.janitor import Janitor
from scheduler.reaper import Reaper
from scheduler.reconciler import Reconciler
from tests.board import Board
from tests.integration.engine.recorder_kit import ending, facts, failure, light, recorder
from tests.integration.notifications.conftest import settled, told
from tests.support import eventually

STATE = "select state from board.runs where id = :id"


def test_the_envelope_has_one_key() -> None:
    assert ENVELOPE == KEY


def test_whoever_triggered_gets_one_mail_however_often_named(
    opened: Callable[..., Board], mailbox: SmtpStandIn
) -> None:
    board = opened()

    @job("sync", queue="plain", label="Sync of users", notify=("anna@example.org",))
    def sync() -> None:
        current_run().count(synced=38, skipped=7)
        current_run().note(message="Synced 38 users")

    run = trigger(sync, by="job:other", notify=("Anna <Anna@example.org>", "bert@example.org", "bert@example.org"))
    with board.worker():
        assert settled(board, 2) == [
            ("completed", "mail", "anna@example.org", "sent"),
            ("completed", "mail", "bert@example.org", "sent"),
        ]
    (mail,) = mailbox.to("anna@example.org")
    assert len(mailbox.mails) == 2
    assert mail.subject == "[Callboard] ✅ Job completed: Sync of users"
    assert (mail.sender, mail.headers["Auto-Submitted"]) == ("board@example.org", "auto-generated")
    for body in (mail.text, mail.html):
        assert "Sync of users (sync)" in body
        assert f"http://127.0.0.1:9190/admin/background_jobs/runs/{run.id}" in body
        assert str(run.correlation_id) in body
    assert '"synced": 38' in mail.text
    assert "&quot;synced&quot;: 38" in mail.html


def test_a_plain_message_of_a_job_with_notify_is_told_of_too(
    opened: Callable[..., Board], mailbox: SmtpStandIn
) -> None:
    board = opened()
    job("light", queue="plain", notify=("ops@example.org",))(lambda: None).send()
    with board.worker():
        settled(board, 1)
    assert [mail.subject for mail in mailbox.mails] == ["[Callboard] ✅ Job completed: light"]
    (row,) = board.query("select state, notify, args, payload from board.runs where job = 'light'")
    assert tuple(row) == ("completed", ["ops@example.org"], {}, None)


def test_system_runs_are_told_to_the_alert_addresses_and_projects_are_not(
    opened: Callable[..., Board], mailbox: SmtpStandIn
) -> None:
    board = opened(system_jobs_alert_email="ops@example.org,night@example.org")
    hourly = job("hourly", queue="plain", cadence=every(seconds=3600), retry=NoRetry())(_fails)
    by_hand = job("by_hand", queue="plain")(lambda: None)
    chained = job("chained", queue="plain")(lambda: None)

    @job("of_project", queue="plain", scope="project")
    def of_project(project_id: str) -> None:
        """Nobody's but its project's."""

    trigger(hourly, by="schedule")
    trigger(by_hand, by="cli:anna")
    trigger(chained, by="job:hourly")
    chained.send()
    trigger(of_project, by="manual:user:x", kwargs={"project_id": "p1"})
    with board.worker():
        found = settled(board, 4)
        eventually(lambda: board.one("select count(*) from board.runs where state = 'pending'") == 0)
    assert sorted(found) == [
        (event, "mail", f"{who}@example.org", "sent") for event in ("completed", "failed") for who in ("night", "ops")
    ]
    bad = next(mail for mail in mailbox.to("ops@example.org") if "failed" in mail.subject)
    assert bad.subject == "[Callboard] ❌ Job failed: hourly"
    assert "RuntimeError: no <b>luck</b>" in bad.text
    assert "no &lt;b&gt;luck&lt;/b&gt;" in bad.html
    assert len(told(board)) == 4


def _fails() -> None:
    raise RuntimeError("no <b>luck</b>")


def test_only_problems_if_so_told(opened: Callable[..., Board]) -> None:
    board = opened(system_jobs_alert_email="ops@example.org", system_jobs_alert_on="problems")
    trigger(job("well", queue="plain")(lambda: None), by="cli")
    trigger(job("badly", queue="plain", retry=NoRetry())(_fails), by="cli")
    with board.worker():
        assert settled(board, 1) == [("failed", "mail", "ops@example.org", "sent")]


def test_a_quiet_run_and_a_short_cadence_are_no_news(opened: Callable[..., Board], mailbox: SmtpStandIn) -> None:
    board = opened(system_jobs_alert_email="ops@example.org")
    quiet = job("quiet", queue="plain", cadence=every(seconds=3600))(lambda: current_run().quiet())
    often = job("often", queue="plain", cadence=every(seconds=30), notify=("x@example.org",), single=False)(
        lambda: None
    )
    failing = job("failing", queue="plain", cadence=every(seconds=30), retry=NoRetry(), single=False)(_fails)
    for _ in range(3):
        trigger(often, by="schedule")
        trigger(failing, by="schedule")
        with board.worker():
            eventually(lambda: board.one("select count(*) from board.runs where state in ('pending', 'running')") == 0)
    trigger(quiet, by="schedule")
    with board.worker():
        eventually(lambda: board.one("select count(*) from board.runs where state in ('pending', 'running')") == 0)
    assert told(board) == [("failed", "mail", "ops@example.org", "sent")]
    assert "every 30 s: at most one problem is told in an hour" not in mailbox.mails[0].text  # no schedule's row here
    asked = trigger(quiet, by="cli:anna", notify=("anna@example.org",))
    with board.worker():
        settled(board, 2)
    assert [mail.recipients for mail in mailbox.mails][1:] == [["anna@example.org"]]
    assert str(asked.id) in mailbox.mails[1].text


def test_a_run_that_is_retried_is_told_of_when_it_is_over(opened: Callable[..., Board], mailbox: SmtpStandIn) -> None:
    board = opened()
    attempts: list[int] = []

    @job("shaky", queue="plain", retry=Backoff(max_retries=2, base=0.01), notify=("ops@example.org",))
    def shaky() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise TimeoutError("slow")

    shaky.send()
    with board.worker():
        settled(board, 1)
    assert [mail.subject for mail in mailbox.mails] == ["[Callboard] ✅ Job completed: shaky"]
    assert "Attempts:       3" in mailbox.mails[0].text


def test_what_ends_without_an_attempt_is_told_of_too(opened: Callable[..., Board], mailbox: SmtpStandIn) -> None:
    board = opened()
    waits = job("waits", queue="plain")(lambda: None)
    by_hand = trigger(waits, by="cli", notify=("a@example.org",))
    assert acts.cancel(by_hand.id, who=Who("cli:anna")) == "cancelled"
    own = recorder(board)
    poison = facts("waits", notify=("b@example.org",))
    assert own.bury(poison, failure(), reason="poison", attempt=3)
    own.close()
    dead = recorder(board, lease=-1.0)
    lost = facts("waits", notify=("c@example.org",), trigger="cli")
    dead.start(lost)
    dead.close()
    job("waits_for_it", queue="plain", on_crash="fail")(lambda: None)
    board.execute("update board.runs set job = 'waits_for_it' where id = :id", id=lost.id)
    Reaper(get_engine(), board.broker, board.settings, lambda: True).tick()
    with board.worker():
        assert settled(board, 3) == [
            ("cancelled", "mail", "a@example.org", "sent"),
            ("failed", "mail", "b@example.org", "sent"),
            ("failed", "mail", "c@example.org", "sent"),
        ]
    signs = {mail.recipients[0][0]: mail.subject.split()[1] for mail in mailbox.mails}
    assert signs == {"a": "🚫", "b": "❌", "c": "❌"}
    assert "cancelled before it started" in mailbox.to("a@example.org")[0].text


def test_a_crash_between_commit_and_enqueue_loses_nothing(opened: Callable[..., Board], mailbox: SmtpStandIn) -> None:
    board = opened(recovery_seconds=0.01)
    run = facts("done", notify=("ops@example.org",))
    with transaction() as connection:  # as the finisher does it, without what follows the commit
        runs.insert_pending(connection, run)
        Outgoing(board.settings).ended(connection, run, "cancelled")
    assert told(board) == [("cancelled", "mail", "ops@example.org", "pending")]
    assert board.broker.depths(["callboard_notifications"])["callboard_notifications"].ready == 0
    loop = Reconciler(get_engine(), board.broker, board.settings, lambda: True)

    def sent_again() -> bool:
        loop.tick()
        return board.broker.depths(["callboard_notifications"])["callboard_notifications"].ready == 1

    eventually(sent_again, what="the reconciler")
    with board.worker():
        settled(board, 1)
    assert len(mailbox.mails) == 1


def test_what_was_rolled_back_is_not_told(opened: Callable[..., Board]) -> None:
    board = opened()
    run = facts("undone", notify=("ops@example.org",))
    with get_engine().connect() as connection:
        runs.insert_pending(connection, run)
        Outgoing(board.settings).ended(connection, run, "cancelled")
        connection.rollback()
    trigger(job("after", queue="plain")(lambda: None), by="cli", notify=("ops@example.org",))
    with board.worker():
        assert settled(board, 1) == [("completed", "mail", "ops@example.org", "sent")]


def test_what_postgres_refuses_of_a_notification_keeps_no_run_from_ending(opened: Callable[..., Board]) -> None:
    board = opened()
    board.execute("alter table board.notifications add constraint odd check (target <> 'odd@example.org')")
    run = trigger(job("ends", queue="plain")(lambda: None), by="cli", notify=("odd@example.org",))
    with board.worker():
        eventually(lambda: board.one(STATE, id=run.id) == "completed")
    assert told(board) == []


class CountingCursor(psycopg.Cursor[tuple[object, ...]]):
    statements: list[str] = []  # noqa: RUF012 - of all cursors

    def execute(self, query, *args, **kwargs):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN002, ANN003, ANN201 - psycopg's own
        self.statements.append(str(query))
        return super().execute(query, *args, **kwargs)


@pytest.mark.parametrize("settings", [{}, {"system_jobs_alert_email": "ops@example.org"}])
def test_runs_that_nobody_is_told_of_cost_no_statement(opened: Callable[..., Board], settings: dict[str, str]) -> None:
    board = opened(**settings)
    own = recorder(board)
    with own._wire.cursor():
        assert own._wire._connection is not None
        own._wire._connection.cursor_factory = CountingCursor
    endings = [ending(facts(), light(own)) for _ in range(50)]
    CountingCursor.statements.clear()
    own.finish_many(endings)
    assert len(CountingCursor.statements) == 1
    often = [facts(f"often_{n}", recurring=True, interval=30.0, trigger="schedule") for n in range(5)]
    started = [own.start(run) for run in often]
    CountingCursor.statements.clear()
    own.finish_many([ending(run, start) for run, start in zip(often, started, strict=True)])
    assert [words for words in CountingCursor.statements if "notifications" in words] == []
    assert len(CountingCursor.statements) == 3  # the runs, their schedules and the totals
    own.close()


def test_two_writers_tell_once(opened: Callable[..., Board]) -> None:
    board = opened(system_jobs_alert_email="ops@example.org")
    run = facts("twice", trigger="manual:user:1", notify=("OPS@example.org",))
    for _ in range(2):
        with transaction() as connection:
            Outgoing(board.settings).ended(connection, run, "failed")
    assert told(board) == [("failed", "mail", "ops@example.org", "pending")]
    assert board.one("select count(*) from board.runs where job = :job", job=NAME) == 1


def test_the_janitor_forgets_old_ones(opened: Callable[..., Board]) -> None:
    board = opened(retention_days=30)
    for _ in range(2):
        with transaction() as connection:
            Outgoing(board.settings).ended(connection, facts("old", notify=("ops@example.org",)), "failed")
    board.execute("update board.notifications set created_at = now() - interval '31 days' where id % 2 = 0")
    Janitor(get_engine(), board.settings, lambda: True).tick()
    assert board.one("select count(*) from board.notifications") == 1
