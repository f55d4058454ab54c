"""What the jobs that go over all memories take: `python -m bench.memories [--memories 1000000] [--largest 0.9]`.

Starts an embedded Postgres in a temporary folder, makes up a company, and runs decay, tiers and retention, each in a
child process with the whole stack loaded, while a thread of ours changes single memories all the time. Cases:

    hour   the jobs last ran an hour ago, as they do
    again  the same jobs once more, with next to nothing to do
    day    the jobs last ran a day ago
    all    the jobs have never run: every memory decays, moves, and is archived or deleted
    purge  after `all`: every memory is to be purged
    insights  a snapshot of one tenant that has all memories, by a language model that answers at once

Prints the time of each job and the CPU time of all processes of Postgres, what it counted, the child's peak memory, its
longest writing statement and transaction, how long the other writer waited at most for a row and for its own commit,
and the share of updates that touched no index. Exits 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import event, text

from bench.machine import cpu_seconds
from bench.servers import Servers
from callboard import current_run, get_job, get_settings, transaction
from callboard.ledger.database import get_engine
from callboard.ledger.migrate import upgrade
from callboard.loading import load_actors
from sandbox.company import Plan, fill
from sandbox.openai import OpenAIStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

INSIGHTS = "tenant_snapshot"
JOBS = ("apply_forgetting_policies_job", "tier_transition_job", "retention_enforcement_job")
MOST_SECONDS, MOST_MIB, MOST_LOCKED = 60.0, 200.0, 1.0
_KEY = bytes(range(32))
_AGES = {
    "hour": Plan(behind_days=1 / 24),
    "day": Plan(behind_days=1),
    "all": Plan(youngest_days=91, oldest_days=400, behind_days=400),
    "insights": Plan(),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.memories", description=__doc__.partition("\n")[0])
    parser.add_argument("--memories", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--largest", type=float, help="part of the memories that one tenant has, e.g. 0.9")
    parser.add_argument("--cases", default="hour,again,day,all,purge,insights", help="by default all")
    parser.add_argument("--batch", type=int, help="memories in one transaction; as the setting says by default")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.child and args.cases.split(",")[0] in ("again", "purge"):
        parser.error(
            f"--cases {args.cases}: `again` and `purge` go on with the memories of a case before them, e.g. all,purge."
        )
    return args


@dataclass
class _Durations:
    """Of the statements and transactions of this process, in seconds; only what may hold locks counts."""

    statement: float = 0.0
    transaction: float = 0.0
    began: dict[int, float] = field(default_factory=dict)

    def watch(self) -> None:
        engine = get_engine()
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "begin", lambda connection: self.began.update({id(connection): time.monotonic()}))
        event.listen(engine, "commit", self._commit)

    def _before(self, connection: Connection, *_rest: object) -> None:
        connection.info["began"] = time.monotonic()

    def _after(self, connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if "update memory" in statement or "delete from" in statement:
            self.statement = max(self.statement, time.monotonic() - connection.info["began"])
            connection.info["writes"] = True

    def _commit(self, connection: Connection) -> None:
        if connection.info.pop("writes", False):
            self.transaction = max(self.transaction, time.monotonic() - self.began[id(connection)])


def _measure(name: str) -> None:
    """In the child: load all that a worker loads, run the job once, and print what was seen as JSON."""
    load_actors(get_settings())
    durations = _Durations()
    durations.watch()
    started = time.monotonic()
    get_job(name)(*([_largest()] if name == INSIGHTS else []))
    seen = {"seconds": time.monotonic() - started, "mib": _peak_mib()}
    seen |= {"statement": durations.statement, "transaction": durations.transaction}
    print(json.dumps(seen | {"counts": current_run().counts}))


def _largest() -> str:
    """The tenant that has the most memories."""
    sql = "select tenant_id from memory.memories group by tenant_id order by count(*) desc limit 1"
    with transaction() as connection:
        return str(connection.scalar(text(sql)))


def _peak_mib() -> float:
    """Of this process alone: what getrusage tells begins with what the parent had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class _Writer:
    """Recalls one memory after the other, in random order, and remembers the longest waits, in seconds.

    Apart: for the row, which another may hold, and for the commit, which is the disk's.
    """

    def __init__(self, url: str) -> None:
        self._url, self._stop = url, threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.row, self.commit, self.writes = 0.0, 0.0, 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _write(self) -> None:
        sql = "update memory.memories set usage_count = usage_count + 1 where id = %s"
        with closing(psycopg.connect(self._url)) as connection:
            # Once: while the newest are purged, `max` reads past all that are dead and not yet vacuumed.
            (newest,) = connection.execute("select max(id) from memory.memories").fetchone() or (1,)
            connection.commit()
            while not self._stop.wait(0.002):
                started = time.monotonic()
                connection.execute(sql, (random.randint(1, newest),))  # noqa: S311 - not a secret
                written = time.monotonic()
                connection.commit()
                self.row, self.commit = max(self.row, written - started), max(self.commit, time.monotonic() - written)
                self.writes += 1


def _updates(url: str) -> tuple[int, int]:
    """Rows of the table that were updated so far, and those of them that needed no new entry in an index."""
    sql = "select n_tup_upd, n_tup_hot_upd from pg_stat_all_tables where relid = 'memory.memories'::regclass"
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        every, hot = connection.execute(sql).fetchone() or (0, 0)
    return every, hot


def _run(servers: Servers, url: str, home: Path, name: str, args: argparse.Namespace) -> bool:
    env = {**os.environ, "CALLBOARD_DATABASE_URL": url, "CALLBOARD_HOME": str(home)}
    env |= {"CALLBOARD_ACTORS": "actors.memory", "CALLBOARD_SECRET_KEYS": b64encode(_KEY).decode()}
    if args.batch:
        env["CALLBOARD_MEMORY_LIFECYCLE_BATCH"] = str(args.batch)
    child = [sys.executable, "-m", "bench.memories", "--child", name]
    writer, before, updates = _Writer(url), cpu_seconds(servers.roots), _updates(url)
    with writer.at_work(), OpenAIStandIn(key="sk-bench") as model:
        env |= {"CALLBOARD_MEMORY_MODEL_URL": model.api, "CALLBOARD_MEMORY_MODEL_KEY": "sk-bench"}
        done = subprocess.run(child, env=env, check=True, stdout=subprocess.PIPE)  # noqa: S603 - ourselves
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    postgres = cpu_seconds(servers.roots) - before
    rows, hot = (after - then for after, then in zip(_updates(url), updates, strict=True))
    counts = " ".join(f"{key}={value}" for key, value in seen["counts"].items())
    print(f"  {name:<30} {seen['seconds']:5.1f} s ({postgres:.1f} s of Postgres' CPU)  {seen['mib']:.0f} MiB  {counts}")
    print(
        f"  {'':<30} longest writing statement {seen['statement']:.2f} s, transaction {seen['transaction']:.2f} s; "
        f"another writer waited {writer.row:.2f} s at most for a row, {writer.commit:.2f} s for a commit, "
        f"in {writer.writes} writes"
    )
    print(f"  {'':<30} {rows} rows updated, {hot / max(1, rows):.0%} without touching an index", flush=True)
    locked = max(seen["transaction"], writer.row)
    return bool(seen["seconds"] <= MOST_SECONDS and seen["mib"] <= MOST_MIB and locked <= MOST_LOCKED)


def _mark_all(url: str) -> None:
    """As if all had been deleted a week ago."""
    sql = """update memory.memories set retention_status = 'hard_delete_pending',
        deleted_at = now() - interval '8 days',
        hard_delete_at = now() - interval '1 day', retention_changed_at = null, legal_hold = false"""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(sql)


def _case(servers: Servers, args: argparse.Namespace, case: str) -> str:
    url = servers.fresh()
    upgrade(url)
    tenants = 1 if case == "insights" else args.tenants
    sizes = {"memories": args.memories, "tenants": tenants, "largest": args.largest}
    plan = replace(_AGES[case], now=datetime.now(UTC), secret_key=_KEY, **sizes)
    started = time.monotonic()
    filled = fill(url, plan)
    print(f"  {filled.memories:,} memories, {filled.tenants} tenants, made up in {time.monotonic() - started:.1f} s")
    servers.settle(url)
    return url


def main() -> int:
    """Make up, measure and judge."""
    args = _arguments()
    if args.child:
        _measure(args.child)
        return 0
    results, url = list[bool](), ""
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as name:
        home = Path(name)
        servers = Servers(home)
        try:
            for case in args.cases.split(","):
                print(case, flush=True)
                if case == "purge":
                    _mark_all(url)
                    servers.settle(url)
                elif case != "again":
                    url = _case(servers, args, case)
                jobs = (INSIGHTS,) if case == "insights" else JOBS[2 * (case == "purge") :]
                results += [_run(servers, url, home, job, args) for job in jobs]
        finally:
            servers.stop()
    kept = all(results)
    print(
        f"at most {MOST_SECONDS:.0f} s, {MOST_MIB:.0f} MiB, {MOST_LOCKED:.0f} s locked: {'kept' if kept else 'MISSED'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
