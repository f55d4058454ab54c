"""Callboard itself: workers and senders in the project's own environment."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from protocol import Driver, serve

if TYPE_CHECKING:
    import psycopg

    from callboard import Job

_PLAIN, _SQLALCHEMY = "postgresql://", "postgresql+psycopg://"
# All in this month's partition, the one the drain writes to, spread over the month until now.
_FILL = """
insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, args, attempt, token, worker_id,
    enqueued_at, started_at, finished_at)
select uuidv7(at - now()), at, 'filled.' || n %% 20, 'default', 'completed', 'job:bench', 'job-' || gen_random_uuid(),
    '{"tag": 1}', 1, n, '00000000-0000-7000-8000-000000000000', at, at, at
from (select n, date_trunc('month', now()) + (now() - date_trunc('month', now())) * n / %(rows)s::float as at
    from generate_series(%(first)s::bigint, %(last)s::bigint) as n) as times
"""
_FILL_BATCH = 1_000_000


class Callboard(Driver):
    """Ledger and correlation on, nothing switched off; logs at WARNING as for the peers."""

    packages = ("callboard", "dramatiq", "redis", "hiredis", "psycopg")
    bulk = True
    delays = True

    @staticmethod
    def env() -> dict[str, str]:
        return {
            "CALLBOARD_DATABASE_URL": os.environ["BENCH_DATABASE_URL"].replace(_PLAIN, _SQLALCHEMY, 1),
            "CALLBOARD_BROKER_URL": os.environ["BENCH_REDIS_URL"],
            "CALLBOARD_HOME": os.environ["BENCH_FOLDER"],
            "CALLBOARD_ACTORS": "app",
            "CALLBOARD_LOG_LEVEL": "warning",
        }

    def install(self, queues: list[str]) -> None:
        from callboard.ledger.migrate import upgrade  # noqa: PLC0415 - after the environment is set

        upgrade(os.environ["CALLBOARD_DATABASE_URL"])
        import app  # noqa: F401, PLC0415 - declares the jobs

    def workers(self, case: str, queues: list[str]) -> tuple[str, list[list[str]]]:
        return "-p 2 -t 8", [[sys.executable, "-m", "cli", "worker", "-p", "2", "-t", "8"]]

    def send(self, job: str, tag: int, queue: str) -> None:
        self._job(job, queue).send(tag)

    def send_many(self, job: str, tags: range, queue: str) -> None:
        self._job(job, queue).send_many({"tag": tag} for tag in tags)

    def send_later(self, job: str, tags: range, queue: str, seconds: float) -> None:
        sender = self._job(job, queue)
        messages = [sender.message(tag) for tag in tags]
        sender.broker.enqueue_many(messages, delay=int(seconds * 1000))

    def recorded(self) -> int | None:
        names = [f"{job}.{queue}" for job in ("noop", "sleep") for queue in os.environ["BENCH_QUEUES"].split(",")]
        query = "select count(*) from board.runs where state = 'completed' and job = any(%s)"
        with closing(self._connect()) as connection:
            row = connection.execute(query, (names,)).fetchone()
        return int(row[0]) if row else 0

    def do_fill(self, rows: int) -> dict[str, object]:
        """Put so many completed runs into the ledger, in the order of their time."""
        with closing(self._connect()) as connection:
            for first in range(1, rows + 1, _FILL_BATCH):
                last = min(first + _FILL_BATCH - 1, rows)
                connection.execute(_FILL, {"first": first, "last": last, "rows": rows})
                connection.commit()
        return {"rows": rows}

    def _connect(self) -> psycopg.Connection:
        import psycopg  # noqa: PLC0415 - after the environment is set

        return psycopg.connect(os.environ["BENCH_DATABASE_URL"])

    def _job(self, job: str, queue: str) -> Job[Any, Any]:
        from callboard import get_job  # noqa: PLC0415 - after the environment is set

        key = f"{job}.{queue}"
        if key not in _jobs:
            _jobs[key] = get_job(key)
        return _jobs[key]


_jobs: dict[str, Job[Any, Any]] = {}

if __name__ == "__main__":
    serve(Callboard)
