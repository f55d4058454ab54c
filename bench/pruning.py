"""What the upkeep of the event tables costs: `python -m bench.pruning [--months 4] [--rows 500000]`.

Starts an embedded Postgres in a temporary folder and fills the partitions of some months with so many events each. Then
the revenue catalogue's jobs run in this process, one after another, while others write events and read the newest ones
without a pause. Prints for each job what it did, how long it took, and the longest that a writer or reader was kept
waiting; exits 1 if that was more than a second, or if a job did not do its work.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import psycopg

from actors.revenue.cleanup import soft_delete_cleanup
from actors.revenue.event_tables import EVENT_TABLES, Month
from actors.revenue.partitions import create, partition_creation
from actors.revenue.pruning import db_pruning
from callboard import Run, TransientError, current_run
from callboard.embedded import EmbeddedServers
from callboard.ledger.database import dispose
from callboard.ledger.migrate import upgrade
from callboard.run import enter_run
from observability import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_WAIT = 1.0
ROWS_A_RUN = 100_000  # of single rows, as the settings have it
MIB = 1024**2
_FILL = """
insert into revenue.events (timestamp, app_id, session_id, user_id, message, properties)
select %(begin)s::timestamptz + n * interval '4 s', (%(apps)s::uuid[])[1 + n %% 10], gen_random_uuid(),
       'user-' || n %% 5000, 'Opened screen ' || n %% 40,
       jsonb_build_object('screen', n %% 40, 'duration_ms', n %% 9000, 'note', repeat('x', n %% 200))
from generate_series(1, %(rows)s) n
"""
_WRITE = "insert into revenue.events (timestamp, app_id, message) values (now(), %s, 'live')"
_READ = "select count(*) from (select from revenue.events where app_id = %s and timestamp > %s limit 100) newest"


class Done(NamedTuple):
    """What a job did and cost."""

    run: Run
    seconds: float
    freed: int
    longest: dict[str, float]


class Callers:
    """Clients that write and read all the time, and know their longest wait."""

    def __init__(self, url: str, app: str) -> None:
        self._url, self._app = url, app
        self._stop = threading.Event()
        self.longest = {"write": 0.0, "read": 0.0}
        self.calls = {"write": 0, "read": 0}

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Until the end of the block."""
        given = {"write": (_WRITE, (self._app,)), "read": (_READ, (self._app, Month.of(datetime.now(UTC)).begin))}
        threads = [threading.Thread(target=self._call, args=(name, *one)) for name, one in given.items()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def forget(self) -> None:
        """Begin to measure anew."""
        self.longest.update(write=0.0, read=0.0)

    def _call(self, name: str, sql: str, given: tuple[object, ...]) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.is_set():
                began = time.monotonic()
                connection.execute(sql, given)
                self.longest[name] = max(self.longest[name], time.monotonic() - began)
                self.calls[name] += 1
                self._stop.wait(0.002)


class Bench:
    """A filled database and the callers on it."""

    def __init__(self, url: str, months: int, rows: int) -> None:
        self._url, self._months, self._rows = url, months, rows
        self.apps = [str(uuid4()) for _ in range(10)]
        self.callers = Callers(url, self.apps[0])
        self.good = True

    def fill(self) -> None:
        """Months that are over and the current one, with events alike."""
        current = Month.of(datetime.now(UTC))
        months = [current.later(-number) for number in range(self._months, -1, -1)]
        create(months, wait_seconds=5)
        with psycopg.connect(self._url, autocommit=True) as connection:
            team, project = uuid4(), uuid4()
            connection.execute("insert into revenue.teams (id, name) values (%s, 'T')", (team,))
            connection.execute("insert into revenue.projects values (%s, %s, 'P')", (project, team))
            for app in self.apps:
                connection.execute("insert into revenue.apps values (%s, %s, 'A')", (app, project))
            for month in months:
                given = {"begin": month.begin, "apps": self.apps, "rows": self._rows}
                connection.execute(_FILL, given)
            connection.execute("vacuum analyze revenue.events")
            connection.execute("checkpoint")

    def partition_bytes(self) -> int:
        """Of one month's events, indexes included."""
        name = f"revenue.events_{Month.of(datetime.now(UTC)).later(-1)}"
        return self._number("select pg_total_relation_size(%s)", name)

    def expire(self, app: str) -> None:
        """Mark an app as deleted long ago."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("update revenue.apps set deleted_at = now() - interval '8 days' where id = %s", (app,))

    def prune_while_held(self, limit: int) -> None:
        """Prune while a transaction that will not end, such as a dump's, holds all partitions."""
        with psycopg.connect(self._url) as dump:
            dump.execute("select from revenue.events limit 1")
            try:
                db_pruning(limit)
            except TransientError as error:
                current_run().note(refused=str(error))

    def size(self) -> int:
        """Of the database, in bytes."""
        return self._number("select pg_database_size(current_database())")

    def measure(self, what: str, job: Callable[[], None], check: Callable[[Done], bool]) -> None:
        """Run a job among the callers, print what it did, and judge it."""
        run, before = Run(job=what), self.size()
        enter_run(run)
        self.callers.forget()
        began = time.monotonic()
        job()
        seconds = time.monotonic() - began
        done = Done(run, seconds, before - self.size(), dict(self.callers.longest))
        enter_run(None)
        fine = check(done) and max(done.longest.values()) < MOST_WAIT
        self.good = self.good and fine
        numbers = " ".join(f"{name}={number}" for name, number in run.counts.items() if number)
        waits = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in done.longest.items())
        print(f"{what:22} {seconds:7.2f} s  freed {done.freed / MIB:6.0f} MiB  longest {waits}  {numbers}"
              f"{'' if fine else '  MISSED'}")  # fmt: skip

    def _number(self, sql: str, *given: object) -> int:
        with psycopg.connect(self._url) as connection:
            row = connection.execute(sql, given).fetchone()
            return int(row[0]) if row else 0


def measure(bench: Bench, months: int) -> None:
    """Every job, in an order in which each finds its work."""
    one = bench.partition_bytes()
    bench.measure("partition_creation", partition_creation, lambda done: len(done.run.notes["created"]) > 0)
    bench.expire(bench.apps[1])
    bench.measure("soft_delete_cleanup", soft_delete_cleanup, lambda done: done.run.counts["events"] > 0)
    wanted = months * one
    limit = bench.size() - wanted + one // 2
    bench.measure(
        "db_pruning, held up", lambda: bench.prune_while_held(limit), lambda done: "refused" in done.run.notes
    )
    bench.measure(
        "db_pruning, partitions",
        lambda: db_pruning(limit),
        lambda done: done.run.counts["dropped_partitions"] > 0 and done.freed > wanted - 2 * one,
    )
    bench.measure(
        "db_pruning, the rest", lambda: db_pruning(1), lambda done: done.run.counts["deleted_rows"] == ROWS_A_RUN
    )
    limit = bench.size() - 10 * MIB
    bench.measure("db_pruning, again", lambda: db_pruning(limit), lambda done: not any(done.run.counts.values()))


def main() -> int:
    """Fill, measure and judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.pruning", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--months", type=int, default=4, help="months that are over")
    parser.add_argument("--rows", type=int, default=500_000, help="events a month")
    args = parser.parse_args()
    logs.configure(format="text", level="warning", service="bench")
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as name, EmbeddedServers(Path(name)) as servers:
        url = servers.start().database_url
        os.environ |= {"CALLBOARD_DATABASE_URL": url, "CALLBOARD_HOME": name}
        upgrade(url)
        bench, began = Bench(url.replace("+psycopg", ""), args.months, args.rows), time.monotonic()
        bench.fill()
        print(f"{args.months + 1} months of {args.rows:,} events in {len(EVENT_TABLES)} tables, "
              f"{bench.size() / MIB:.0f} MiB, a month {bench.partition_bytes() / MIB:.0f} MiB; "
              f"filled in {time.monotonic() - began:.0f} s")  # fmt: skip
        with bench.callers.calling():
            measure(bench, args.months)
        dispose()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    calls = ", ".join(f"{number} {name}s" for name, number in bench.callers.calls.items())
    print(f"callers made {calls}; peak RSS {peak:.0f} MiB; nobody may wait longer than {MOST_WAIT} s")
    return 0 if bench.good else 1


if __name__ == "__main__":
    sys.exit(main())
