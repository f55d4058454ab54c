"""How fast the capture queue is drained: `python -m bench.capture [--candidates 40000] [--drains 1,2] [--times 3]`.

Candidates of 20 tenants with 50 users each wait in a fresh database on the embedded Postgres, encrypted as always; one
process (then two at once) calls `process_capture_queue_job`, without a language model. Of ten candidates seven become
memories, one of them superseding another; one each has no key, is transient, or is denied by its tenant.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psutil  # type: ignore[import-untyped] # ships no types
from sqlalchemy import insert, text

from actors.memory.candidates import Candidate, propose
from actors.memory.capture import process_capture_queue_job
from actors.memory.tables import tenant_settings, tenants, users
from actors.memory.texts import Keyring
from callboard import current_run, transaction
from callboard.embedded import EmbeddedServers
from callboard.ledger.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

_TENANTS, _USERS = 20, 50
_PAGE = 1_000
_DRAIN = "from bench.capture import drain; drain()"
_EMPTY = "truncate memory.memories, memory.embeddings, memory.memory_candidates, memory.memory_events"

Person = tuple[UUID, UUID]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.capture", description=__doc__.partition("\n")[0])
    parser.add_argument("--candidates", type=int, default=40_000, help="how many wait")
    parser.add_argument("--drains", default="1,2", help="processes that drain at once")
    parser.add_argument("--times", type=int, default=3, help="trials of each kind")
    given = parser.parse_args()
    os.environ["CALLBOARD_SECRET_KEYS"] = b64encode(os.urandom(32)).decode()
    os.environ.pop("CALLBOARD_MEMORY_MODEL_KEY", None)
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder) / "h", broker_port=0) as servers:
        os.environ["CALLBOARD_DATABASE_URL"] = servers.start().database_url
        upgrade(os.environ["CALLBOARD_DATABASE_URL"])
        people = _people()
        for drains in map(int, given.drains.split(",")):
            for _ in range(given.times):
                _trial(people, given.candidates, drains)


def drain() -> None:
    """Run the job once; print how many it decided on, in which time, and the most memory that it had."""
    began = time.perf_counter()
    process_capture_queue_job()
    seconds, counts = time.perf_counter() - began, current_run().counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {name: number for name, number in counts.items() if number}
    print(
        f"  {counts['scanned'] / seconds:.0f}/s in {seconds:.2f} s, {time.process_time():.1f} s of CPU, {peak:.0f} MB"
    )
    print(f"    {told}")


def _people() -> list[Person]:
    ids = [uuid4() for _ in range(_TENANTS)]
    people = [(tenant, uuid4()) for tenant in ids for _ in range(_USERS)]
    rows = [{"id": user, "tenant_id": tenant, "email": f"{user}@example.com"} for tenant, user in people]
    denied = [{"tenant_id": tenant, "deny_words": ["password", "salary"]} for tenant in ids]
    with transaction() as connection:
        connection.execute(insert(tenants), [{"id": tenant, "name": "Acme"} for tenant in ids])
        connection.execute(insert(tenant_settings), denied)
        connection.execute(insert(users), rows)
    return people


def _trial(people: Sequence[Person], candidates: int, drains: int) -> None:
    rate, load = _fill(people, candidates), os.getloadavg()[0]
    print(f"{candidates} candidates, proposed at {rate:.0f}/s; {drains} at once, load of the machine {load:.1f}:")
    sys.stdout.flush()
    began, used = time.perf_counter(), _server_cpu()
    processes = [subprocess.Popen([sys.executable, "-c", _DRAIN]) for _ in range(drains)]  # noqa: S603 - ourselves
    codes = [process.wait() for process in processes]
    seconds = time.perf_counter() - began
    if any(codes):
        raise RuntimeError(f"A drain ended with {codes}; see above.")
    print(f"  {candidates / seconds:.0f}/s in all, the start of Python included")
    print(f"  {_server_cpu() - used:.1f} s of the servers' CPU")


def _server_cpu() -> float:
    """Seconds that our servers have used so far, with those of their children that have ended."""
    roots = psutil.Process().children()
    alive = [each.cpu_times() for root in roots for each in (root, *root.children(recursive=True))]
    ended = [root.cpu_times() for root in roots]
    spent = sum(each.user + each.system for each in alive)
    return float(spent + sum(each.children_user + each.children_system for each in ended))


def _fill(people: Sequence[Person], candidates: int) -> float:
    """Empty the tables and fill the queue; how many a second."""
    with transaction() as connection:
        connection.execute(text(_EMPTY))
    began = time.perf_counter()
    for start in range(0, candidates, _PAGE):
        made = [_candidate(people, number) for number in range(start, min(start + _PAGE, candidates))]
        with transaction() as connection:
            propose(connection, made, keyring=Keyring.of(connection, {one.user_id for one in made}))
    return candidates / (time.perf_counter() - began)


def _candidate(people: Sequence[Person], number: int) -> Candidate:
    tenant, user = people[number // 10 % len(people)]
    words = {0: "will be at the airport", 1: "asked about a salary"}.get(number % 10, "moved the service to Frankfurt")
    return Candidate(
        tenant_id=tenant,
        user_id=user,
        source_type="structured_row",
        category="FACT",
        content=f"The person of row {number} {words}, and wrote about it at some length in ticket {number * 7}.",
        extracted_key={2: None, 3: f"place {number + 1}"}.get(number % 10, f"place {number}"),
    )


if __name__ == "__main__":
    main()
