"""How fast connections are synced: `python -m bench.syncs [--issues 5000] [--connections 5000] [--kills 20]`.

Against the stand-in for GitHub, in a process of its own, on the embedded Postgres: a first sync of a repository, a
second one in which nothing is new, the dispatch of many connections that are due, and a sync whose process is killed
(SIGKILL) at random moments and started again each time, whose end must be that of the first one.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import insert, text

from actors.memory.settings import get_memory_settings
from actors.memory.syncs.discovery import discover
from actors.memory.syncs.job import sync
from actors.memory.tables import connections, sync_jobs, tenants, users
from callboard import Run, seal, transaction
from callboard.embedded import EmbeddedServers
from callboard.ledger.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATTEMPT = "import sys; from bench.syncs import attempt; attempt(sys.argv[1])"
_END = """
select j.status, j.pages, j.total_items, j.processed_items, j.candidates, c.cursor,
    (select count(*) from memory.external_objects o where o.connection_id = c.id) as objects,
    (select count(*) from memory.memory_candidates m where m.user_id = c.user_id) as proposed,
    (select md5(string_agg(o.source_object_id || o.type || o.url, ',' order by o.source_object_id))
     from memory.external_objects o where o.connection_id = c.id) as digest
from memory.sync_jobs j join memory.connections c on c.id = j.connection_id where j.id = :id
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.syncs", description=__doc__.partition("\n")[0])
    parser.add_argument("--issues", type=int, default=5_000, help="issues of the repository; 50 pages are 5,000")
    parser.add_argument("--connections", type=int, default=5_000, help="how many are due at once")
    parser.add_argument("--kills", type=int, default=20, help="times that a sync's process is killed")
    given = parser.parse_args()
    os.environ["CALLBOARD_SECRET_KEYS"] = b64encode(os.urandom(32)).decode()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder) / "h", broker_port=0) as servers:
        endpoints = servers.start()
        os.environ["CALLBOARD_DATABASE_URL"] = endpoints.database_url
        os.environ["CALLBOARD_BROKER_URL"] = endpoints.broker_url
        upgrade(endpoints.database_url)
        with _github(given.issues) as url:
            os.environ["CALLBOARD_MEMORY_GITHUB_URL"] = url
            clean = _measure_syncs()
            _measure_kills(given.kills, clean)
        _measure_dispatch(given.connections)


def attempt(job_id: str) -> None:
    """One attempt of a job, as a worker makes it."""
    sync(UUID(job_id), Run(job="run_sync_job"), get_memory_settings())


@contextmanager
def _github(issues: int) -> Iterator[str]:
    command = [sys.executable, "-m", "sandbox.github", "--port", "0", "--documents", str(issues)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ourselves
        url = process.stdout.readline().strip() if process.stdout else ""
        try:
            yield url
        finally:
            process.terminate()


def _measure_syncs() -> dict[str, Any]:
    made = _connection()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    states = []
    for kind in ("first sync", "second sync"):
        job = _job(made)
        began, used = time.perf_counter(), time.process_time()
        attempt(str(job))
        seconds, state = time.perf_counter() - began, _end(job)
        states.append(state)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{kind}: {state['total_items']} objects on {state['pages']} pages in {seconds:.2f} s, "
            f"{time.process_time() - used:.2f} s of CPU; peak {peak / 1024:.0f} MB, "
            f"{(peak - before) / 1024:.0f} MB more; load {os.getloadavg()[0]:.1f}"
        )
    return states[0]


def _measure_kills(kills: int, clean: dict[str, Any]) -> None:
    dice = random.Random(6)  # noqa: S311 - when to kill
    killed = done = 0
    while killed < kills:
        job = _job(_connection())
        state = _end(job)
        while state["status"] != "COMPLETED":
            process = subprocess.Popen([sys.executable, "-c", _ATTEMPT, str(job)])  # noqa: S603 - ourselves
            try:
                process.wait(dice.uniform(0.8, 4.0) if killed < kills else None)
            except subprocess.TimeoutExpired:
                process.kill()
                killed += process.wait() != 0
            state = _end(job)
        done += 1
        if state != clean:
            raise RuntimeError(f"after kills: {state}, of a clean run: {clean}")
    print(f"{killed} kills in {done} syncs: each ended as the clean one")


def _measure_dispatch(number: int) -> None:
    for _ in range(number // 3):
        tenant = _tenant()
        for _ in range(3):
            _connection(tenant, next_scheduled_sync=datetime.now(UTC) - timedelta(minutes=1))
    run, began = Run(job="process_scheduled_syncs"), time.perf_counter()
    discover(run, get_memory_settings(), datetime.now(UTC))
    seconds = time.perf_counter() - began
    print(f"dispatch: {run.counts} in {seconds:.1f} s, {run.counts['dispatched'] / seconds:.0f}/s")


def _tenant() -> UUID:
    made = uuid4()
    with transaction() as connection:
        connection.execute(insert(tenants), {"id": made, "name": "Acme"})
    return made


def _connection(tenant: UUID | None = None, **columns: object) -> UUID:
    owner, user, made = tenant or _tenant(), uuid4(), uuid4()
    row = {
        "id": made,
        "tenant_id": owner,
        "user_id": user,
        "provider": "github",
        "access_token": seal(b"access-0"),
        "options": {"repository": "acme/shop"},
        **columns,
    }
    with transaction() as connection:
        connection.execute(insert(users), {"id": user, "tenant_id": owner, "email": f"{user}@example.com"})
        connection.execute(insert(connections), row)
    return made


def _job(connection_id: UUID) -> UUID:
    made = uuid4()
    owner = "select tenant_id, cursor from memory.connections where id = :id"
    with transaction() as connection:
        row = connection.execute(text(owner), {"id": connection_id}).mappings().one()
        kind = "FULL" if row["cursor"] is None else "INCREMENTAL"
        connection.execute(insert(sync_jobs), {"id": made, "connection_id": connection_id, "type": kind, **row})
    return made


def _end(job: UUID) -> dict[str, Any]:
    with transaction() as connection:
        return dict(connection.execute(text(_END), {"id": job}).mappings().one())


if __name__ == "__main__":
    main()
