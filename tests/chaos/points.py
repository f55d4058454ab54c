"""Every job of a catalogue, run twice in a row and killed at random points: the end is that of one clean run.

`python -m tests.chaos.points [--jobs a,b] [--points 20] [--seed N]` does it on the sample company with all its
stand-ins, and prints a line for each job. A point is a statement, a commit or a request: see `forge`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from callboard.embedded import EmbeddedServers
from callboard.ledger import migrate
from sandbox.company import Plan, fill
from sandbox.town import Town
from tests.chaos.forge import CATALOGUES
from tests.chaos.portrait import difference, portrait
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.chaos.portrait import Portrait

_TEMPLATE = "points_scene"
#: Small ones, so that there are many points between the first row and the last.
_BATCHES = (
    "CALLBOARD_MEMORY_LIFECYCLE_BATCH",
    "CALLBOARD_MEMORY_CAPTURE_BATCH",
    "CALLBOARD_MEMORY_CLEANUP_BATCH",
    "CALLBOARD_MEMORY_EMBED_BATCH",
    "CALLBOARD_REVENUE_SOFT_DELETE_BATCH",
)
#: What the company has none of: a memory that many have just asked for, one without its vector, a delivery that waits.
_MORE = """
insert into memory.recalls (memory_id, tenant_id, user_id, recalled_at)
select m.id, m.tenant_id, m.user_id, now() - interval '1 minute' * g
from (select * from memory.memories where retention_status = 'active' order by id limit 3) m, generate_series(1, 12) g;
insert into memory.webhook_deliveries (id, webhook_id, event_id, event_type, payload_json, created_at)
select 1000000 + row_number() over (order by id), id, 'msg_' || id, 'memory.created',
       '{"type": "memory.created", "timestamp": "2026-01-01T00:00:00Z", "data": {}}', now() - interval '1 minute'
from memory.webhooks;
update memory.memories set last_accessed_at = now() - interval '40 days', created_at = now() - interval '41 days',
       tier_changed_at = now() - interval '41 days'
where id % 3 = 0 and retention_status = 'active' and tier = 'hot' and archive_at > now();
delete from memory.siem_destinations
where tenant_id <> (select tenant_id from memory.audit_logs order by created_at desc limit 1);
update memory.audit_logs set created_at = now() - interval '400 days'
where id % 3 = 0 and tenant_id not in (select tenant_id from memory.siem_destinations);
"""
_OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""


@dataclass(frozen=True)
class Case:
    """A job with arguments for one run, and the schema that it changes."""

    job: str
    schema: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a test is called."""
        return self.job


@dataclass
class Finding:
    """What came of one case."""

    case: Case
    steps: int = 0
    killed_at: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Forge:
    """The process that runs jobs in forks of itself."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.forge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment | {"CALLBOARD_ACTORS": ",".join(CATALOGUES)},
        )

    def run(
        self, job: str, arguments: Mapping[str, Any], *, database: str, kill_at: int | None = None
    ) -> dict[str, Any]:
        """Run a job and all that it sends.

        Returns:
            `steps`: how many there were, None if it was killed; `killed`; `error`: a traceback, or None.
        """
        order = {
            "environment": {"CALLBOARD_DATABASE_URL": database},
            "job": job,
            "arguments": dict(arguments),
            "kill_at": kill_at,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the forge ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Proof:
    """Holds each kill against one clean run.

    Args:
        forge: Runs the jobs.
        scene: Gives the URL of a fresh database with the scene, and takes it away again.
        town: Whom the jobs call.
    """

    def __init__(self, forge: Forge, scene: Callable[[Case], Any], town: Town) -> None:
        self._forge, self._scene, self.town = forge, scene, town

    def of(self, case: Case, *, points: int, dice: random.Random) -> Finding:
        """Run it once, twice, and killed at so many points."""
        found = Finding(case)
        clean, found.steps = self._clean(case, found)
        self._twice(case, clean, found)
        candidates = range(1, found.steps + 1)
        for at in sorted(dice.sample(candidates, min(points, len(candidates)))):
            self._killed(case, clean, at, found)
        return found

    def _clean(self, case: Case, found: Finding) -> tuple[Portrait, int]:
        with self._scene(case) as url:
            before = portrait(url, case.schema)
            told = self._go(case, url, found, "once")
            after = portrait(url, case.schema)
            if before == after:
                found.wrong.append("it changes nothing on this scene")
            return after, told["steps"] or 0

    def _twice(self, case: Case, clean: Portrait, found: Finding) -> None:
        with self._scene(case) as url:
            self._go(case, url, found, "first of two")
            self._go(case, url, found, "second of two")
            self._compare(url, case, clean, found, "run twice")

    def _killed(self, case: Case, clean: Portrait, at: int, found: Finding) -> None:
        with self._scene(case) as url:
            told = self._forge.run(case.job, case.arguments, database=url, kill_at=at)
            if told["killed"]:
                found.killed_at.append(at)
                eventually(lambda: _is_alone(url), what="the end of the dead one's locks")
            self._go(case, url, found, f"after a kill at {at}")
            self._compare(url, case, clean, found, f"killed at {at} of {found.steps}")

    def _go(self, case: Case, url: str, found: Finding, when: str) -> dict[str, Any]:
        told = self._forge.run(case.job, case.arguments, database=url)
        if told["error"]:
            found.wrong.append(f"{when}: {told['error']}")
        return told

    def _compare(self, url: str, case: Case, clean: Portrait, found: Finding, when: str) -> None:
        told = difference(clean, portrait(url, case.schema))
        if told:
            found.wrong.append(f"{when}:\n{told}")


def _is_alone(url: str) -> bool:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(_OTHERS).fetchone() == (0,)


#: A delivery of the scene's own.
DELIVER = Case("webhook.deliver", "memory", {"delivery": "wd_1000001"})
CASES = (
    Case("auto_summarization_job", "memory"),
    Case("apply_forgetting_policies_job", "memory"),
    Case("tier_transition_job", "memory"),
    Case("retention_enforcement_job", "memory"),
    Case("generate_daily_insights_job", "memory"),
    Case("process_capture_queue_job", "memory"),
    Case("process_scheduled_syncs", "memory"),
    Case("siem_forwarding_job", "memory"),
    Case("cleanup_expired_sessions", "memory"),
    Case("audit_log_retention", "memory"),
    Case("intelligence_reevaluate", "memory"),
    Case("refresh_embeddings", "memory"),
    Case("webhook.poll", "memory"),
    DELIVER,
    Case("revenuecat_sync_all", "revenue"),
    Case("soft_delete_cleanup", "revenue"),
    Case("partition_creation", "revenue"),
    Case("db_pruning", "revenue"),
)


class Scenes:
    """Databases with the sample company in them, each a copy of one template."""

    def __init__(self, server_url: str, town: Town) -> None:
        self.key = b64encode(os.urandom(32)).decode()
        self._server_url, self._numbers = server_url, itertools.count(1)
        self._execute(f"create database {_TEMPLATE}")
        url = self._url(_TEMPLATE)
        migrate.upgrade(url)
        fill(
            url,
            Plan(
                memories=120,
                tenants=2,
                events=900,
                webhooks=tuple(f"{town.urls['webhooks']}/hooks/{name}" for name in ("crm", "audit")),
                siem=(("splunk", town.urls["splunk"]), ("custom", f"{town.urls['webhooks']}/hooks/siem")),
                outside=True,
                secret_key=b64decode(self.key),
            ),
        )
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(_MORE)

    @contextmanager
    def __call__(self, case: Case) -> Iterator[str]:  # noqa: ARG002 - all have the same
        """The URL of a fresh one, for as long as the block lasts."""
        name = f"points_{next(self._numbers)}"
        self._execute(f"create database {name} template {_TEMPLATE}")
        yield self._url(name)
        self._execute(f"drop database {name} with (force)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._server_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload] # our own words

    def _url(self, name: str) -> str:
        return self._server_url.replace("/callboard?", f"/{name}?", 1)


def environment_of(scenes: Scenes, town: Town) -> dict[str, str]:
    """What the forge must be told: the stand-ins, the key, and no pauses."""
    return (
        dict(os.environ)
        | town.environment
        | {
            "CALLBOARD_SECRET_KEYS": scenes.key,
            "CALLBOARD_REVENUE_REVENUECAT_PAUSE_SECONDS": "0",
            "CALLBOARD_REVENUE_MAX_DATABASE_SIZE_GB": "0.001",
            "CALLBOARD_MEMORY_SYNC_TENANT_LIMIT": "9",  # else some are left for the next tick, and twice is not once
            **dict.fromkeys(_BATCHES, "9"),
        }
    )


@contextmanager
def prepared(server_url: str) -> Iterator[Proof]:
    """Everything that a proof needs, on a server that is there."""
    with Town(broken=False) as town:
        scenes = Scenes(server_url, town)
        forge = Forge(environment_of(scenes, town))
        try:
            yield Proof(forge, scenes, town)
        finally:
            forge.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove, and print a line for each job."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.points", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", help="some, comma separated")
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    chosen = [case for case in CASES if not given.jobs or case.job in given.jobs.split(",")]
    bad = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServers(Path(folder)) as servers,
        prepared(servers.start().database_url) as proof,
    ):
        for case in chosen:
            began = time.monotonic()
            found = proof.of(case, points=given.points, dice=random.Random(given.seed))
            bad += bool(found.wrong)
            print(_line(found, time.monotonic() - began), flush=True)  # noqa: T201 - a command
    return 1 if bad else 0


def _line(found: Finding, took: float) -> str:
    verdict = "the same end" if not found.wrong else f"{len(found.wrong)} ends differ"
    line = f"{found.case.job:<30} {found.steps:>6} steps  killed at {len(found.killed_at):>3}  {verdict}  {took:.0f} s"
    return "\n".join([line, *found.wrong[:3]])


if __name__ == "__main__":
    sys.exit(main())
