"""What the exporter serves of a real broker and a real ledger, also when one of them is away, slow or silent."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from dramatiq import set_broker
from prometheus_client.parser import text_string_to_metric_families

from callboard import Slo, cron, current_run, get_settings, job, state
from callboard.broker import RedisBroker
from callboard.broker.memory import MemoryBroker
from callboard.compose import make_broker
from callboard.ledger import health, partitions
from callboard.ledger.database import dispose, transaction
from callboard.middleware import stack
from callboard.state import snapshot
from observability.exporter import state_registry
from observability.exposition import text
from observability.snapshot import BROKER, POSTGRES
from observability.sources import Source
from tests.board import Board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape() -> Series:
    families = text_string_to_metric_families(text(state_registry(snapshot)).decode())
    samples = [sample for family in families for sample in family.samples]
    found = {
        (sample.name.removeprefix("callboard_"), frozenset(sample.labels.items())): sample.value for sample in samples
    }
    assert len(found) == len(samples), "a series is there twice"
    return found


def value(found: Series, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def names(found: Series) -> set[str]:
    return {name for name, _ in found}


def up(found: Series) -> tuple[float | None, float | None]:
    return value(found, "exporter_source_up", source=BROKER), value(found, "exporter_source_up", source=POSTGRES)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


def impatient(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.5) -> None:
    monkeypatch.setattr(state, "_broker", Source(BROKER, state._hold, patience=seconds))
    monkeypatch.setattr(state, "_ledger", Source(POSTGRES, health.read, patience=seconds))


def _plain(board: Board) -> str:
    """The URL of the ledger as libpq reads it."""
    return board.database_url.replace("+psycopg", "", 1)


def test_every_queue_and_job_is_there_before_anything_happened(board: Board) -> None:
    job("quick", queue="fast", time_limit=30)(lambda: None)
    job("long", queue="fast", time_limit=90)(lambda: None)
    job("other", queue="slow")(lambda: None)
    found = scrape()
    assert up(found) == (1, 1)
    for queue in ("fast", "slow"):
        depths = [value(found, "queue_depth", queue=queue, state=where) for where in ("ready", "claimed", "delayed")]
        assert depths == [0, 0, 0]
        assert [value(found, "queue_depth", queue=queue, state=where) for where in ("dead", "orphaned")] == [0, 0]
        zeros = ("oldest_ready_age_seconds", "oldest_delayed_overdue_seconds", "dead_oldest_age_seconds", "consumers")
        assert [value(found, f"queue_{name}", queue=queue) for name in zeros] == [0] * 4
        assert value(found, "queue_max_age_seconds", queue=queue) == 300
    assert value(found, "queue_longest_time_limit_seconds", queue="fast") == 90
    assert value(found, "dead_letters", queue="fast", actor="long") == 0
    assert value(found, "oldest_running_age_seconds", actor="other") == 0
    assert value(found, "actor_time_limit_seconds", actor="quick") == 30
    assert value(found, "outbox_oldest_age_seconds") == 0
    assert (value(found, "workers", state="alive"), value(found, "workers_expected")) == (0, None)
    assert board.broker.get_declared_queues() == {"fast", "slow"}


def test_what_the_settings_promise(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    job("quick", queue="fast", slo=Slo(0.99, within=60))(lambda: None)
    job("shared", queue="slow", slo=Slo(0.9, per="queue"))(lambda: None)
    assert board.settings.workers_expected == 0
    monkeypatch.setenv("CALLBOARD_QUEUE_PROMISES", "fast=20")
    monkeypatch.setenv("CALLBOARD_QUEUE_MAX_AGE_SECONDS", "120")
    monkeypatch.setenv("CALLBOARD_WORKERS_EXPECTED", "4")
    get_settings.cache_clear()
    found = scrape()
    assert (value(found, "queue_max_age_seconds", queue="fast"), value(found, "workers_expected")) == (20, 4)
    assert value(found, "queue_max_age_seconds", queue="slow") == 120
    assert value(found, "slo_objective_ratio", slo="quick") == 0.99
    assert value(found, "slo_objective_ratio", slo="queue:slow") == 0.9


def test_delayed_messages_that_are_due_and_lie_there(board: Board) -> None:
    assert isinstance(board.broker, RedisBroker)
    declared = job("quick", queue="fast")(lambda: None)
    declared.send_with_options(delay=60_000)
    assert value(scrape(), "queue_oldest_delayed_overdue_seconds", queue="fast") == 0
    later, due = f"{board.broker.namespace}:later:fast", (time.time() - 40) * 1000
    entries: Any = board.broker.client.zrange(later, 0, -1)
    board.broker.client.zadd(later, dict.fromkeys(entries, due))
    overdue = value(scrape(), "queue_oldest_delayed_overdue_seconds", queue="fast")
    assert overdue == pytest.approx(40, abs=5)


@pytest.mark.parametrize("ahead", [0, 100, -100])
def test_the_brokers_clock_less_this_hosts(board: Board, monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    job("quick")(lambda: None)
    scrape()  # with the clock as it is: the connections are made
    here = time.time
    with monkeypatch.context() as patch:
        patch.setattr("callboard.broker.loads.time", SimpleNamespace(time=lambda: here() - ahead))
        skew = value(scrape(), "broker_clock_skew_seconds")
    assert skew == pytest.approx(ahead, abs=0.5)
    assert board.broker.knows_contents


def test_open_dead_letters_and_their_age(board: Board) -> None:
    job("quick", queue="fast")(lambda: None)
    insert = """
    insert into board.dead_letters (run_id, job, queue, payload, kind, reason, error_type, error, attempts,
        correlation_id, created_at, state)
    values (gen_random_uuid(), 'quick', 'fast', '{}', 'runtime', '', '', '', 1, '', now() - make_interval(secs => :age),
        :state)
    """
    for age, where in ((7200, "discarded"), (3600, "open"), (60, "open")):
        board.execute(insert, age=age, state=where)
    found = scrape()
    assert value(found, "dead_letters", queue="fast", actor="quick") == 2
    assert value(found, "queue_depth", queue="fast", state="dead") == 2
    assert value(found, "queue_dead_oldest_age_seconds", queue="fast") == pytest.approx(3600, abs=30)


def test_the_outbox_is_as_old_as_its_oldest_unsent_message(board: Board) -> None:
    declared = job("kept", durable=True)(lambda: None)
    declared.send()
    board.execute("update board.runs set enqueued_at = now(), created_at = now() - interval '1 hour'")
    assert value(scrape(), "outbox_oldest_age_seconds") == 0
    board.execute("update board.runs set enqueued_at = null, created_at = now() - interval '100 s'")
    assert value(scrape(), "outbox_oldest_age_seconds") == pytest.approx(100, abs=30)


def test_rows_of_tables_are_estimated_over_partitions(board: Board) -> None:
    with transaction() as connection:
        assert partitions.ensure(connection, now=datetime.now(UTC) - timedelta(days=90), ahead=4)
    board.execute("""
    insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id)
    select gen_random_uuid(), now() - make_interval(days => n % 90), 'quick', 'fast', 'completed', 'send', ''
    from generate_series(1, 3000) n
    """)
    with psycopg.connect(_plain(board), autocommit=True) as other:
        other.execute("vacuum analyze board.runs")
    found = scrape()
    assert value(found, "run_table_rows", table="runs") == pytest.approx(3000, rel=0.05)
    assert value(found, "run_table_rows", table="dead_letters") == 0
    assert not [labels for name, labels in found if name == "run_table_rows" and "runs_" in str(labels)]


def test_a_table_without_statistics_is_estimated_by_what_was_written(board: Board) -> None:
    board.execute("insert into board.canaries (queue) values ('a'), ('b'), ('c')")
    assert board.one("select reltuples from pg_class where oid = 'board.canaries'::regclass") == -1
    eventually(lambda: value(scrape(), "run_table_rows", table="canaries") == 3)


def test_a_schedule_says_what_its_last_run_counted_and_who_is_told(board: Board) -> None:
    @job("collect", queue="fast", cadence=cron("0 * * * *"), tier="ticket", owner="data")
    def collect() -> None:
        current_run().count(read=40, written=2)

    board.execute("""
    insert into board.schedules (job, queue, cadence, interval_seconds, watermark, missed)
    values ('collect', 'fast', '0 * * * *', 3600, now(), '{"overlap": 3, "paused": 1}')
    """)
    labels = {"schedule": "collect", "actor": "collect"}
    assert value(scrape(), "schedule_last_records", **labels) is None
    collect.send()
    with board.worker():
        eventually(lambda: board.one("select last_success_at is not null from board.schedules"))
    found = scrape()
    assert value(found, "schedule_last_records", **labels) == 42
    assert value(found, "schedule_last_success_timestamp_seconds", **labels, tier="ticket")
    info = {"queue": "fast", "cron": "0 * * * *", "timezone": "UTC", "owner": "data", "tier": "ticket"}
    assert value(found, "schedule_info", **labels, **info) == 1
    missed = [value(found, "schedule_missed_total", schedule="collect", reason=why) for why in ("overlap", "disabled")]
    assert missed == [3, 1]
    next_run = value(found, "schedule_next_run_timestamp_seconds", **labels, tier="ticket")
    assert next_run is not None
    assert timedelta(0) < datetime.fromtimestamp(next_run, UTC) - datetime.now(UTC) <= timedelta(hours=1)


def test_live_workers_and_those_whose_lease_is_over(board: Board) -> None:
    job("quick", queue="fast")(lambda: None)
    with board.worker():
        eventually(lambda: value(scrape(), "queue_consumers", queue="fast") == 1)
        found = scrape()
        assert (value(found, "workers", state="alive"), value(found, "workers", state="stale")) == (1, 0)
    row = "insert into board.workers (id, host, pid, version, broker_id, queues, threads, lease_until)"
    board.execute(f"{row} values (gen_random_uuid(), 'h', 1, '0', 'b', '{{fast}}', 8, now() - interval '1 s')")
    found = scrape()
    assert (value(found, "workers", state="alive"), value(found, "workers", state="stale")) == (0, 1)
    assert value(found, "queue_consumers", queue="fast") == 0


def test_of_a_broker_that_cannot_tell_there_is_no_series_rather_than_zero(board: Board) -> None:
    class Blind(MemoryBroker):
        knows_contents = False

    set_broker(Blind(middleware=stack()))
    job("quick", queue="fast")(lambda: None).send()
    found = scrape()
    set_broker(board.broker)
    assert up(found) == (1, 1)
    assert value(found, "queue_depth", queue="fast", state="ready") == 1
    for where in ("claimed", "delayed", "orphaned"):
        assert value(found, "queue_depth", queue="fast", state=where) is None
    assert value(found, "queue_depth", queue="fast", state="dead") == 0
    unknown = {"queue_oldest_ready_age_seconds", "queue_oldest_delayed_overdue_seconds", "broker_clock_skew_seconds"}
    assert not unknown & names(found)


def test_two_exporters_say_the_same(board: Board) -> None:
    job("quick", queue="fast", cadence=cron("0 * * * *"))(lambda: None)
    board.execute("""
    insert into board.schedules (job, queue, cadence, interval_seconds, watermark) values
    ('quick', 'fast', '0 * * * *', 3600, now())
    """)
    with ThreadPoolExecutor(2) as both:
        one, other = both.map(lambda _: scrape(), range(2))
    assert set(one) == set(other)
    ages = ("_age_seconds", "_skew_seconds", "_duration_seconds")
    still = [key for key in one if not key[0].endswith(ages)]
    assert [(key, one[key]) for key in still] == [(key, other[key]) for key in still]


def test_a_broker_that_hangs_costs_no_more_than_its_patience(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    with black_hole() as port:
        silent = make_broker(f"redis://127.0.0.1:{port}")
        set_broker(silent)
        job("quick", queue="fast")(lambda: None)
        begun = time.monotonic()
        found = scrape()
        seconds = time.monotonic() - begun
        set_broker(board.broker)
    assert seconds < 3
    assert up(found) == (0, 1)
    assert value(found, "queue_depth", queue="fast", state="ready") is None
    assert value(found, "queue_depth", queue="fast", state="dead") == 0
    assert value(found, "queue_max_age_seconds", queue="fast") == 300
    assert "broker_clock_skew_seconds" not in names(found)
    silent.close()
    _no_reading_left()


@pytest.mark.usefixtures("board")
def test_a_ledger_that_hangs_costs_no_more_than_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    job("quick", queue="fast")(lambda: None).send()
    assert up(scrape()) == (1, 1)
    impatient(monkeypatch)
    with black_hole() as port:
        monkeypatch.setenv("CALLBOARD_DATABASE_URL", f"postgresql+psycopg://nobody@127.0.0.1:{port}/nothing")
        get_settings.cache_clear()
        dispose()
        begun = time.monotonic()
        found = scrape()
        seconds = time.monotonic() - begun
    assert seconds < 3
    assert up(found) == (1, 0)
    assert value(found, "queue_depth", queue="fast", state="ready") == 1
    assert not {"dead_letters", "workers", "run_table_rows", "queue_consumers", "actor_time_limit_seconds"} & names(
        found
    )
    assert value(found, "queue_longest_time_limit_seconds", queue="fast") == 600
    _no_reading_left()
    dispose()


def _no_reading_left() -> None:
    reading = [thread for thread in threading.enumerate() if thread.name.startswith("source-")]
    for thread in reading:
        thread.join(20)
    assert not any(thread.is_alive() for thread in reading)


def test_a_locked_table_is_waited_for_a_second_and_the_next_scrape_is_whole(board: Board) -> None:
    job("quick", queue="fast")(lambda: None)
    with psycopg.connect(_plain(board)) as other:
        other.execute("lock table board.schedules in access exclusive mode")
        begun = time.monotonic()
        assert up(scrape()) == (1, 0)
        assert time.monotonic() - begun < 4
    assert up(scrape()) == (1, 1)


def test_two_thousand_actors_declared_by_mistake_stay_within_the_budget(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2000):
        job(f"job_{number:04}", queue=f"queue_{number % 3}")(lambda: None)
    for name in ("job_0001", "job_1800", "job_1803"):
        board.execute(
            """insert into board.dead_letters (run_id, job, queue, payload, kind, reason, error_type, error, attempts,
            correlation_id) values (gen_random_uuid(), :job, :queue, '{}', '', '', '', '', 1, '')""",
            job=name,
            queue=f"queue_{int(name[4:]) % 3}",
        )
    found = scrape()
    actors = {dict(labels)["actor"] for _, labels in found if "actor" in dict(labels)}
    assert actors == {f"job_{number:04}" for number in range(500)} | {"_other"}
    assert value(found, "dead_letters", queue="queue_1", actor="job_0001") == 1
    assert value(found, "dead_letters", queue="queue_0", actor="_other") == 2
    assert len(found) < 2000
    monkeypatch.setenv("CALLBOARD_METRICS_MOST_ACTORS", "2")
    get_settings.cache_clear()
    found = scrape()
    assert {dict(labels)["actor"] for _, labels in found if "actor" in dict(labels)} == {
        "job_0000",
        "job_0001",
        "_other",
    }
