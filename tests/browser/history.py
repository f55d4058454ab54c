"""A past for the board of the pictures: a day of ticks, runs and attempts, as a busy site has them."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import text

from callboard.ledger import partitions
from callboard.ledger.database import transaction

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Seconds between two ticks of each recurring job, and how long its runs take.
CADENCES = {
    "tier_transition_job": (3600, 42.0),
    "apply_forgetting_policies_job": (3600, 18.0),
    "siem_forwarding_job": (300, 3.1),
    "ingest_emails": (300, 21.0),
    "classify_emails": (21_600, 190.0),
    "threema_polling": (60, 0.4),
    "backup": (86_400, 640.0),
    "compact": (86_400, 130.0),
    "db_pruning": (3600, 1.2),
}
_DELIVERIES = 160
_TICKS = 24

_RUN = text("""
insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, attempt, scheduled_for, eligible_at,
    enqueued_at, started_at, finished_at, counts, error_type, error, error_kind, reason, args)
values (:id, :at, :job, :queue, :state, :trigger, 'job-' || cast(:id as text), 1, :due, :at, :at, :started, :finished,
    cast(:counts as json), :error_type, :error, :kind, :reason, cast(:args as jsonb))
""")
_TICK = text("""
insert into board.occurrences (job, scheduled_for, outcome, reason, run_id) values (:job, :due, :outcome, :why, :id)
on conflict do nothing
""")
_TREND = text("""
insert into board.trends (at, job, outcome, attempts, seconds) values (:at, :job, :outcome, :attempts, :seconds)
on conflict do nothing
""")
_TOTAL = text("""
insert into board.totals (job, outcome, shard, queue, attempts, seconds, buckets)
select :job, :outcome, 99, :queue, :attempts, :seconds,
       array_fill(0\\:\\:bigint, array[coalesce((select max(cardinality(buckets)) from board.totals), 1)])
""")
_SUCCESS = text("""
update board.schedules set last_success_at = :at, last_state = :state, last_completion_at = :at,
    last_duration_seconds = :seconds, consecutive_failures = :failures, created_at = :begun where job = :job
""")
# What happened a moment ago, when the stage was set, happened over the last hours; a run's own moments stay together.
# What failed later still happened later.
_SPREAD = (
    """create temporary table moved on commit drop as
       select id, make_interval(secs => 560 * row_number() over (order by failure desc nulls first, id desc)
              + ('x' || substr(md5(id::text), 1, 6))::bit(24)::int % 500) as back
       from (select r.id, (select max(f.id) from board.failures f where f.run_id = r.id) as failure
             from board.runs r where state in ('failed', 'completed')) ended""",
    """update board.runs r set created_at = created_at - back, started_at = started_at - back,
       finished_at = finished_at - back, eligible_at = eligible_at - back from moved m where m.id = r.id""",
    "update board.failures f set occurred_at = occurred_at - back from moved m where m.id = f.run_id",
    "update board.dead_letters d set created_at = created_at - back from moved m where m.id = d.run_id",
    "update board.issues i set last_seen_at = last_seen_at - back from moved m where m.id = i.last_run_id",
    "update board.issues set first_seen_at = last_seen_at - make_interval(hours => 3 + id::int * 5)",
    "update board.issues set occurrences = occurrences * (3 + id * 17 % 23)",
    # Attempts of the job that gives up after three took ten seconds each, with the pauses of its policy between them.
    """update board.failures f set duration_seconds = 10.0,
       occurred_at = r.created_at + make_interval(secs => case f.attempt when 1 then 11 when 2 then 38 else 93 end)
       from board.runs r where r.id = f.run_id and f.job = 'siem_forwarding_job'""",
    """update board.runs r set started_at = f.occurred_at - interval '10 s', finished_at = f.occurred_at
       from board.failures f where f.run_id = r.id and f.job = 'siem_forwarding_job' and f.attempt = r.attempt""",
    """update board.failures f set log = (
           select jsonb_agg(line || jsonb_build_object('at', f.occurred_at - f.duration_seconds / n * interval '1 s')
                            order by n)
           from jsonb_array_elements(f.log::jsonb) with ordinality as lines (line, n))
       where log is not null""",
    """update board.runs r set log = f.log from board.failures f
       where f.run_id = r.id and f.attempt = r.attempt and f.log is not null""",
)


def play(queues: dict[str, str]) -> None:
    """Write it; `queues` has the queue of every job."""
    dice, now = random.Random(7), datetime.now(UTC)
    with transaction() as connection:
        partitions.ensure(connection, now=now - timedelta(days=2))
        for statement in _SPREAD:
            connection.execute(text(statement.replace("::", "\\:\\:")))
        for job, (every, seconds) in CADENCES.items():
            _ticks(connection, dice, now, job, queues[job], every=every, seconds=seconds)
        for number in range(_DELIVERIES):
            _delivery(connection, dice, now - timedelta(seconds=11 + 37 * number), number)
        for minute in range(1440):
            _minute(connection, dice, now.replace(second=0, microsecond=0) - timedelta(minutes=minute), minute)
        for job, queue in queues.items():
            _totals(connection, dice, job, queue)


def _ticks(
    connection: Connection, dice: random.Random, now: datetime, job: str, queue: str, *, every: int, seconds: float
) -> None:
    last = datetime.fromtimestamp(now.timestamp() // every * every, UTC)
    troubled = job in ("siem_forwarding_job", "threema_polling")
    for back in range(_TICKS, 0, -1):
        due = last - timedelta(seconds=every * (back - 1))
        state = "failed" if troubled and back < 7 else "failed" if dice.random() < 0.03 else "completed"
        if dice.random() < 0.05:
            connection.execute(_TICK, {"job": job, "due": due, "outcome": "skipped", "why": "overlap", "id": None})
            continue
        run = UUID(int=dice.getrandbits(128), version=4)
        _run(connection, run, job, queue, state, at=due, seconds=seconds * dice.uniform(0.7, 1.6), trigger="schedule")
        connection.execute(_TICK, {"job": job, "due": due, "outcome": "fired", "why": None, "id": run})
    since = last - timedelta(seconds=every * 6) if troubled else last
    given = {"at": since, "state": "failed" if troubled else "success", "seconds": seconds, "job": job}
    connection.execute(_SUCCESS, {**given, "failures": 6 if troubled else 0, "begun": now - timedelta(days=40)})


def _run(
    connection: Connection, run: UUID, job: str, queue: str, state: str, *, at: datetime, seconds: float, trigger: str
) -> None:
    failed = state == "failed"
    given = {
        "id": run, "at": at, "job": job, "queue": queue, "state": state, "trigger": trigger,
        "due": at if trigger == "schedule" else None,
        "started": at + timedelta(seconds=0.8), "finished": at + timedelta(seconds=0.8 + seconds),
        "counts": None if failed else f'{{"scanned": {int(seconds * 61)}, "changed": {int(seconds * 7)}}}',
        "error_type": "TransientError" if failed else None,
        "error": "connect timeout to splunk-eu:8088 after 10 s" if failed else None,
        "kind": "transient" if failed else None, "reason": "retries exhausted" if failed else None, "args": None,
    }  # fmt: skip
    connection.execute(_RUN, given)


def _delivery(connection: Connection, dice: random.Random, at: datetime, number: int) -> None:
    run = UUID(int=dice.getrandbits(128), version=4)
    job, queue = ("webhook.deliver", "webhooks") if number % 3 else ("revenuecat_sync", "revenue")
    state = "failed" if dice.random() < 0.06 else "completed"
    _run(connection, run, job, queue, state, at=at, seconds=dice.uniform(0.1, 2.4), trigger="job:siem_forwarding_job")


def _minute(connection: Connection, dice: random.Random, at: datetime, minute: int) -> None:
    wave = 420 + 160 * math.sin(minute / 55) + dice.uniform(-30, 30)
    trouble = 60 if 12 < minute < 26 else 0
    counts = {"success": wave - trouble, "retry": 6 + trouble * 0.7 + dice.uniform(0, 5), "failed": trouble * 0.3}
    rows = [
        {"at": at, "job": job, "outcome": outcome, "attempts": int(number * part), "seconds": number * part}
        for outcome, number in counts.items()
        for job, part in (("webhook.deliver", 0.8), ("siem_forwarding_job", 0.2))
    ]
    connection.execute(_TREND, rows)


def _totals(connection: Connection, dice: random.Random, job: str, queue: str) -> None:
    attempts = int(dice.uniform(2_000, 400_000))
    for outcome, part in (("success", 1.0), ("retry", 0.01), ("failed", 0.002)):
        number = int(attempts * part)
        given = {"job": job, "outcome": outcome, "queue": queue, "attempts": number, "seconds": number * 1.7}
        connection.execute(_TOTAL, given)
