"""Declaring jobs: what is refused, and how it is said."""

from __future__ import annotations

import dramatiq
import pytest

from callboard import (
    ArgumentsError,
    Backoff,
    DeclarationError,
    Delays,
    DuplicateRun,
    Job,
    JobSpec,
    NoRetry,
    PermanentError,
    TransientError,
    cron,
    current_run,
    get_job,
    job,
)
from callboard.outcome import Cancelled, Completed, Failed, Retry
from callboard.spec import spec_of
from callboard.testing import MemoryBroker

pytestmark = pytest.mark.usefixtures("callboard_broker")


def test_a_job_is_an_actor_that_carries_its_spec() -> None:
    @job("tidy", queue="maintenance", cadence=cron("0 * * * *"), time_limit=60)
    def tidy() -> None:
        """Tidy up."""

    assert isinstance(tidy, Job)
    assert isinstance(tidy, dramatiq.Actor)
    assert tidy.options["time_limit"] == 60_000
    assert (tidy.spec.doc, tidy.spec.recurring, tidy.spec.is_single, tidy.spec.is_durable) == (
        "Tidy up.",
        True,
        True,
        True,
    )
    assert get_job("tidy") is tidy


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"queu": "x"}, "unknown option 'queu'; did you mean 'queue'?"),
        ({"queue": "a b"}, "queue='a b' must start with a letter"),
        ({"cadence": "*/5 * * * *"}, "is no cadence; write cron("),
        ({"retry": 3}, "is no retry policy; write Backoff(max_retries=3)"),
        ({"time_limit": 0}, "time_limit=0 must be a number of seconds above 0"),
        ({"time_limit": True}, "time_limit=True must be a number of seconds above 0"),
        ({"concurrency": 0}, "concurrency=0 must be a number above 0"),
        ({"max_retries": 3}, "unknown option 'max_retries'; write retry=Backoff(max_retries=3, base=15, cap=3600)."),
        ({"periodic": None}, "unknown option 'periodic'; write cadence=cron('*/5 * * * *')"),
        ({"timeout": 60}, "unknown option 'timeout'; write time_limit=60, in seconds."),
        ({"on_crash": "explode"}, "must be one of redeliver, fail"),
        ({"scope": "team"}, "must be one of system, project"),
        ({"log_level": "loud"}, "must be one of debug, info, warning, error"),
        ({"permission": "everything"}, "must look like 'jobs:write'"),
        ({"rate": "10"}, "must look like '10/s'"),
        ({"notify": "ops@example.org"}, "must be a tuple of mail addresses"),
        ({"priority": "high"}, "must be a whole number"),
        ({"single_per": "projct"}, "is no argument of the job; did you mean 'project'?"),
        ({"single_per": "project", "single": False}, "contradicts single_per"),
        ({"late_limit": 5}, "needs a cadence"),
        ({"cadence": cron("0 * * * *")}, "the scheduler passes no arguments; give project defaults"),
    ],
)
def test_a_wrong_option_is_refused_with_its_mend(options: dict[str, object], told: str) -> None:
    with pytest.raises(DeclarationError) as caught:

        @job("wrong", **options)
        def wrong(project: str) -> None: ...

    assert told in str(caught.value)
    assert "'wrong'" in str(caught.value)


def test_a_scheduled_job_cannot_be_undurable() -> None:
    with pytest.raises(DeclarationError, match="durable=False contradicts the cadence"):
        job("wrong", cadence=cron("0 * * * *"), durable=False)(lambda: None)


def test_a_name_is_taken_once() -> None:
    job("twice")(lambda: None)
    with pytest.raises(DeclarationError, match="declared twice"):
        job("twice")(lambda: None)


def test_a_bare_decorator_is_told_what_is_missing() -> None:
    with pytest.raises(DeclarationError, match="needs the job's name"):
        job(lambda: None)  # type: ignore[arg-type]  # the mistake under test


def test_arguments_are_held_against_the_signature_when_they_are_sent(callboard_broker: MemoryBroker) -> None:
    @job("greet")
    def greet(name: str, times: int = 1) -> None: ...

    with pytest.raises(ArgumentsError, match=r"missing a required argument: 'name'.*greet\(name"):
        greet.send()
    with pytest.raises(ArgumentsError, match="unexpected keyword argument 'tims'"):
        greet.send("Anna", tims=2)
    with pytest.raises(ArgumentsError, match=r"was given 7 as an item; write \(7,\)"):
        greet.send_many([("Anna",), 7])  # type: ignore[list-item]  # the mistake under test
    with pytest.raises(ArgumentsError, match=r"was given 'Anna' as an item; write \('Anna',\)"):
        greet.send_many(["Anna"])
    with pytest.raises(ArgumentsError, match=r"unknown option 'countdown'; write delay="):
        greet.send_with_options(args=("Anna",), countdown=10)
    assert callboard_broker.sent == []


def test_a_job_runs_counts_and_completes(callboard_broker: MemoryBroker) -> None:
    @job("count")
    def count(n: int) -> None:
        current_run().count(seen=n)
        current_run().count(seen=1)

    count.send(2)
    (run,) = callboard_broker.drain()
    assert (run.state, run.attempts, run.report.counts) == ("completed", 1, {"seen": 3})


def test_what_a_job_sends_inherits_its_correlation_id(callboard_broker: MemoryBroker) -> None:
    @job("child")
    def child() -> None: ...

    @job("parent")
    def parent() -> None:
        child.send()

    parent.send()
    first, second = callboard_broker.drain()
    assert first.facts.correlation_id == second.facts.correlation_id
    assert (second.facts.parent_id, second.facts.trigger) == (first.facts.id, "job:parent")


def test_what_is_sent_outside_a_run_has_no_parent(callboard_broker: MemoryBroker) -> None:
    @job("child")
    def child() -> None: ...

    current_run().count(anything=1)  # a detached run, as a direct call in a shell makes one
    child.send()
    (run,) = callboard_broker.drain()
    assert (run.facts.parent_id, run.facts.trigger) == (None, "send")


@pytest.mark.parametrize(("policy", "attempts"), [(NoRetry(), 1), (Backoff(max_retries=3), 4), (Delays(1, 2), 3)])
def test_a_failing_job_is_tried_as_often_as_its_policy_says(
    callboard_broker: MemoryBroker, policy: Backoff | Delays | NoRetry, attempts: int
) -> None:
    @job("fail", retry=policy)
    def fail() -> None:
        raise ValueError("no 4711")

    fail.send()
    (run,) = callboard_broker.drain()
    assert (run.state, run.attempts) == ("failed", attempts)
    assert [type(outcome) for outcome in run.outcomes] == [Retry] * (attempts - 1) + [Failed]
    assert run.failure is not None
    assert (run.failure.error_type, run.failure.error) == ("ValueError", "no 4711")


def test_a_permanent_error_is_not_tried_again(callboard_broker: MemoryBroker) -> None:
    @job("hopeless")
    def hopeless() -> None:
        raise PermanentError("gone")

    hopeless.send()
    (run,) = callboard_broker.drain()
    assert isinstance(run.outcomes[-1], Failed)
    assert (run.attempts, run.outcomes[-1].reason) == (1, "permanent error")


def test_a_server_that_asks_for_patience_gets_it(callboard_broker: MemoryBroker) -> None:
    class Busy(Exception):
        retry_after = 120.0

    @job("busy", retry=Delays(1, jitter=0))
    def busy() -> None:
        raise Busy

    busy.send()
    (run,) = callboard_broker.drain()
    assert isinstance(run.outcomes[0], Retry)
    assert run.outcomes[0].delay == 120.0


@pytest.mark.parametrize(
    ("policy", "waits"),
    [(Delays(1, jitter=0), 3_600), (Backoff(cap=60_000), 60_000), (Backoff(cap=1_000_000), 86_400)],
    ids=["delays", "a longer ceiling", "the longest"],
)
def test_a_server_waits_no_longer_than_an_hour_or_the_policys_ceiling_within_a_day(
    callboard_broker: MemoryBroker, policy: Delays | Backoff, waits: float
) -> None:
    @job("parked", retry=policy)
    def parked() -> None:
        raise TransientError("later", retry_after=10_000_000)

    parked.send()
    (run,) = callboard_broker.drain()
    assert isinstance(run.outcomes[0], Retry)
    assert run.outcomes[0].delay == waits


def test_a_run_that_saw_its_cancel_request_is_cancelled(callboard_broker: MemoryBroker) -> None:
    @job("long")
    def long() -> None:
        current_run().request_cancel()
        assert current_run().cancelled

    @job("deaf")
    def deaf() -> None:
        current_run().request_cancel()

    long.send()
    deaf.send()
    first, second = callboard_broker.drain()
    assert isinstance(first.outcomes[-1], Cancelled)
    assert isinstance(second.outcomes[-1], Completed)


def test_a_durable_single_job_refuses_a_second_run(callboard_broker: MemoryBroker) -> None:
    @job("sync", durable=True, single_per="project")
    def sync(project: str) -> None: ...

    sync.send("a")
    sync.send("b")
    with pytest.raises(DuplicateRun) as caught:
        sync.send("a")
    assert caught.value.existing == callboard_broker.runs[0].facts.id
    assert len(callboard_broker.sent) == 2


def test_groups_and_pipelines_work(callboard_broker: MemoryBroker) -> None:
    seen: list[int] = []

    @job("add")
    def add(x: int, y: int) -> int:
        return x + y

    @job("keep")
    def keep(total: int) -> None:
        seen.append(total)

    (add.message(1, 2) | add.message(3) | keep.message()).run()
    dramatiq.group([keep.message(7), keep.message(8)]).run()
    callboard_broker.drain()
    assert sorted(seen) == [6, 7, 8]


def test_a_plain_actor_keeps_its_own_options(callboard_broker: MemoryBroker) -> None:
    @dramatiq.actor(max_retries=2, min_backoff=10, throws=KeyError)
    def plain(kind: str) -> None:
        raise KeyError(kind) if kind == "expected" else ValueError(kind)

    plain.send("expected")
    plain.send("other")
    plain.send_with_options(args=("other",), max_retries=0)
    assert [run.attempts for run in callboard_broker.drain()] == [1, 3, 1]
    assert isinstance(spec_of(plain), JobSpec)


def test_secrets_do_not_reach_the_recorded_arguments(callboard_broker: MemoryBroker) -> None:
    @job("login")
    def login(user: str, password: str) -> None: ...

    login.send("anna", password="hunter2")
    (run,) = callboard_broker.drain()
    assert run.facts.args == {"user": "anna", "password": "[redacted]"}
