"""What it costs to look at a full ledger: `python -m bench.board [--runs 1000000] [--times 20] [--filter TEXT]`.

Starts an embedded Postgres in a temporary folder, fills its ledger with 35 days of a busy site (`board_rows`), and
asks for the first page, the page after it and the count of many filters. Prints the median and the 95th percentile of
each in milliseconds, as its caller waits for it. Exits 1 if a 95th percentile is above the bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.board_rows import fill
from callboard.embedded import EmbeddedServers
from callboard.filters import parse
from callboard.ledger import pages
from callboard.ledger.database import make_engine
from callboard.ledger.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine

    from callboard.filters import Resource

__all__ = ["fill"]

MOST_MILLISECONDS = 100.0


class Case(NamedTuple):
    """A filter that people use, and for whom: the names in braces are taken from the ledger."""

    resource: Resource
    text: str
    projects: int = 0


CASES = (
    Case("runs", ""),
    Case("runs", "state:failed"),
    Case("runs", "state:cancelled"),
    Case("runs", "state:pending"),
    Case("runs", "state:running"),
    Case("runs", "state:completed"),
    Case("runs", "-state:completed"),
    Case("runs", "job:sync_accounts"),
    Case("runs", "job:import_tokens"),
    Case("runs", "job:sync_*"),
    Case("runs", "job:import_* state:failed"),
    Case("runs", "job:sync_accounts state:failed"),
    Case("runs", "job:import_tokens state:failed"),
    Case("runs", "job:sync_accounts state:failed error:nowhere"),
    Case("runs", "queue:mail"),
    Case("runs", "queue:nowhere"),
    Case("runs", "queue:mail state:failed"),
    Case("runs", "-queue:mail"),
    Case("runs", "project:{project}"),
    Case("runs", "project:{project} state:failed"),
    Case("runs", "project:*"),
    Case("runs", "project:nobody"),
    Case("runs", "correlation:{root}"),
    Case("runs", "correlation:{caused}"),
    Case("runs", "correlation:job-nothing"),
    Case("runs", "parent:{parent}"),
    Case("runs", "id:{prefix}"),
    Case("runs", "trigger:manual:*"),
    Case("runs", "trigger:cli:anna"),
    Case("runs", "trigger:schedule"),
    Case("runs", "trigger:job:sync_accounts job:import_tokens"),
    Case("runs", "trigger:replay:12"),
    Case("runs", "age:>20d"),
    Case("runs", "age:<10m"),
    Case("runs", "age:>30d queue:mail attempt:>2"),
    Case("runs", "age:>33d queue:nowhere"),
    Case("runs", "state:failed age:>2h"),
    Case("runs", "created:today"),
    Case("runs", "error:upstream"),
    Case("runs", 'error:"{host}"'),
    Case("runs", "error:nowhere"),
    Case("runs", "kind:authentication"),
    Case("runs", "kind:transient job:import_*"),
    Case("runs", "issue:{issue}"),
    Case("runs", "issue:1"),
    Case("runs", "attempt:>2"),
    Case("runs", "attempt:>9"),
    Case("runs", "duration:>10m"),
    Case("runs", "duration:>10m job:import_tokens"),
    Case("runs", "worker:{worker}"),
    Case("runs", "scope:{project}"),
    Case("runs", "sync"),
    Case("runs", "nowhere"),
    Case("runs", "{prefix}"),
    Case("runs", "", 1),
    Case("runs", "", 30),
    Case("runs", "state:failed", 3),
    Case("runs", "queue:nowhere", 3),
    Case("runs", "job:import_tokens", 3),
    Case("failures", ""),
    Case("failures", "job:sync_* kind:transient,runtime"),
    Case("failures", "error:nowhere"),
    Case("failures", "retryable:yes age:>2d"),
    Case("failures", "issue:{issue}"),
    Case("failures", "run:{prefix}"),
    Case("failures", "queue:mail timeout"),
    Case("failures", "", 3),
    Case("dead_letters", ""),
    Case("dead_letters", "state:*"),
    Case("dead_letters", "state:replayed"),
    Case("dead_letters", "job:sync_*"),
    Case("dead_letters", "job:import_tokens"),
    Case("dead_letters", "queue:nowhere"),
    Case("dead_letters", "issue:1"),
    Case("dead_letters", "issue:{issue} age:>2d"),
    Case("dead_letters", "upstream"),
    Case("dead_letters", "error:nowhere"),
    Case("dead_letters", "kind:poison attempts:>2"),
    Case("dead_letters", "by:cli:anna state:*"),
    Case("dead_letters", "", 3),
    Case("issues", ""),
    Case("issues", "status:open silenced:no"),
    Case("issues", "occurrences:>100 kind:transient"),
    Case("issues", "nowhere"),
)

_NAMES = """
select (select project_id from board.runs where project_id is not null limit 1) as project,
       (select 'job-' || id from board.runs where parent_id is null order by created_at limit 1) as root,
       (select correlation_id from board.runs where parent_id is not null order by created_at limit 1) as caused,
       (select parent_id from board.runs where parent_id is not null order by created_at limit 1) as parent,
       (select left(id::text, 13) from board.runs order by created_at limit 1) as prefix,
       (select worker_id from board.runs where worker_id is not null limit 1) as worker,
       (select split_part(error, ' ', 2) from board.runs where state = 'failed' order by created_at limit 1) as host,
       (select max(id) from board.issues) as issue
"""


def names(engine: Engine) -> dict[str, Any]:
    """What the cases' braces stand for."""
    with engine.begin() as connection:
        return dict(connection.exec_driver_sql(_NAMES).mappings().one())


def measure(engine: Engine, case: Case, given: dict[str, Any], times: int) -> dict[str, list[float]]:
    """Milliseconds of each way to look at what a case chooses, `times` times."""
    chosen = parse(case.text.format(**given), case.resource)
    projects = _projects(engine)[: case.projects] if case.projects else None
    with engine.begin() as connection:
        later = pages.page(connection, chosen, projects=projects).next
    ways: dict[str, Callable[[Connection], object]] = {
        "page": lambda connection: pages.page(connection, chosen, projects=projects),
        "next": lambda connection: pages.page(connection, chosen, cursor=later, projects=projects),
        "count": lambda connection: pages.count(connection, chosen, projects=projects),
    }
    return {name: [_timed(engine, way) for _ in range(times)] for name, way in ways.items()}


def _projects(engine: Engine) -> list[str]:
    query = "select distinct project_id from board.runs where project_id is not null order by 1"
    with engine.begin() as connection:
        return list(connection.exec_driver_sql(query).scalars())


def _timed(engine: Engine, way: Callable[[Connection], object]) -> float:
    began = time.perf_counter()
    with engine.begin() as connection:
        way(connection)
    return (time.perf_counter() - began) * 1000


def _told(engine: Engine, case: Case, given: dict[str, Any]) -> str:
    chosen = parse(case.text.format(**given), case.resource)
    projects = _projects(engine)[: case.projects] if case.projects else None
    with engine.begin() as connection:
        first, number = (
            pages.page(connection, chosen, projects=projects),
            pages.count(connection, chosen, projects=projects),
        )
    until = "" if first.searched_until is None else f", looked back to {first.searched_until:%d %b}"
    return f"{len(first.rows)} of {'' if number.exact else 'about '}{number.number:,}{until}"


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def report(engine: Engine, cases: Sequence[Case], times: int) -> bool:
    """Print the table; whether every 95th percentile is within the bound."""
    given, worst = names(engine), 0.0
    print(f"{'':58} {'page':>12} {'next page':>13} {'count':>13}   ms, median and p95")
    for case in cases:
        seen = measure(engine, case, given, times)
        figures = "  ".join(f"{statistics.median(ms):5.1f} {_p95(ms):5.1f}" for ms in seen.values())
        worst = max(worst, *map(_p95, seen.values()))
        name = f"{case.resource} {case.text}" + (f" of {case.projects} projects" if case.projects else "")
        print(f"{name:58} {figures}   {_told(engine, case, given)}", flush=True)
    print(f"worst p95: {worst:.1f} ms")
    return worst <= MOST_MILLISECONDS


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(prog="python -m bench.board", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--letters", type=int, default=50_000)
    parser.add_argument("--failures", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=20, help="how often each is asked")
    parser.add_argument("--filter", default="", help="only cases with this text in them")
    parser.add_argument("--url", help="a ledger that was filled before, instead of one of its own")
    args = parser.parse_args()
    cases = [case for case in CASES if args.filter in f"{case.resource} {case.text}"]
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder, EmbeddedServers(Path(folder)) as servers:
        url = args.url or servers.start().database_url
        if not args.url:
            upgrade(url)
            began = time.perf_counter()
            fill(url, runs=args.runs, letters=args.letters, failures=args.failures)
            print(f"{args.runs:,} runs made in {time.perf_counter() - began:.0f} s", flush=True)
        engine = make_engine(url, pool_size=2, application="bench")
        fine = report(engine, cases, args.times)
        engine.dispose()
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
