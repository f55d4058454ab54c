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
from uuid import UUID, uuid4

from sqlalchemy import insert, text

from callboard.embedded import EmbeddedServers
from callboard.ledger.migrate import upgrade

_TENANTS, _USERS = 20, 50
_PAGE = 1_000
_DRAIN = "from bench.capture import drain; drain()"


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
    """Run the job once, and print the seconds it took, what it counted and the most memory it had, in MB."""
    from actors.memory.capture import process_capture_queue_job  # noqa: PLC0415 - after the environment is set
    from callboard import current_run  # noqa: PLC0415 - the same

    began = time.perf_counter()
    process_capture_queue_job()
    seconds, counts = time.perf_counter() - began, current_run().counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"    {counts['scanned']} in {seconds:.2f} s, {peak:.0f} MB: {counts}")


def _people() -> list[tuple[UUID, UUID]]:
    from actors.memory.tables import tenant_settings, tenants, users  # noqa: PLC0415 - after the environment is set
    from callboard import transaction  # noqa: PLC0415 - the same

    ids = [uuid4() for _ in range(_TENANTS)]
    people = [(tenant, uuid4()) for tenant in ids for _ in range(_USERS)]
    with transaction() as connection:
        connection.execute(insert(tenants), [{"id": tenant, "name": "Acme"} for tenant in ids])
        denied = [{"tenant_id": tenant, "deny_words": ["password", "salary"]} for tenant in ids]
        connection.execute(insert(tenant_settings), denied)
        rows = [{"id": user, "tenant_id": tenant, "email": f"{user}@example.com"} for tenant, user in people]
        connection.execute(insert(users), rows)
    return people


def _trial(people: list[tuple[UUID, UUID]], candidates: int, drains: int) -> None:
    print(f"{candidates} candidates, proposed at {_fill(people, candidates):.0f}/s, {drains} at once:")
    began = time.perf_counter()
    processes = [subprocess.Popen([sys.executable, "-c", _DRAIN]) for _ in range(drains)]
    codes = [process.wait() for process in processes]
    seconds = time.perf_counter() - began
    if any(codes):
        raise RuntimeError(f"a drain ended with {codes}; see above.")
    print(f"  {candidates / seconds:.0f} candidates/s, the start of Python included")


def _fill(people: list[tuple[UUID, UUID]], candidates: int) -> float:
    """Empty the queue and fill it; how many a second."""
    from actors.memory.candidates import propose  # noqa: PLC0415 - after the environment is set
    from actors.memory.texts import Keyring  # noqa: PLC0415 - the same
    from callboard import transaction  # noqa: PLC0415 - the same

    with transaction() as connection:
        connection.execute(text("truncate memory.memories, memory.embeddings, memory.memory_candidates"))
        connection.execute(text("truncate memory.memory_events"))
    began = time.perf_counter()
    for start in range(0, candidates, _PAGE):
        made = [_candidate(people, number) for number in range(start, min(start + _PAGE, candidates))]
        with transaction() as connection:
            propose(connection, made, keyring=Keyring.of(connection, {one.user_id for one in made}))
    rate = candidates / (time.perf_counter() - began)
    with transaction() as connection:
        connection.execute(text("analyze memory.memory_candidates"))
    return rate


def _candidate(people: list[tuple[UUID, UUID]], number: int):  # type: ignore[no-untyped-def] # imported late  # noqa: ANN202
    from actors.memory.candidates import Candidate  # noqa: PLC0415 - after the environment is set

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
