"""What naming the run to Postgres costs: `python -m bench.statements [--times 1000] [--rounds 5]`.

Hot statements of the catalogues on the embedded Postgres, each in a transaction of its own, ten transactions to a run,
in three ways:

    bare      outside a run: Postgres is told nothing
    comment   each statement ends in a comment with the run's id, so that none is like another and all are planned anew
    named     as it is: a comment with the job's name, and a lock of the connection for the run's id

Ways take turns, and the least figure of each counts, for other programs can only add to it. Prints microseconds of CPU
a transaction, of this process and of the servers.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text

from actors.memory import _writing_statements as writing
from actors.memory import forgetting
from actors.sessions import _statements as sessions
from bench.machine import cpu_seconds
from bench.servers import Servers
from callboard import Run, transaction
from callboard.ledger import database
from callboard.ledger.migrate import upgrade
from callboard.run import enter_run, peek_run
from sandbox.company import Plan, fill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import TextClause

_KEY = bytes(range(32))
_EACH = 10
_WAYS = ("bare", "comment", "named")
Case = tuple["TextClause", "Mapping[str, Any]"]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1_000, help="transactions of each round")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder))
        try:
            _compare(servers, given.times, given.rounds)
        finally:
            database.dispose()
            servers.stop()


def _compare(servers: Servers, times: int, rounds: int) -> None:
    url = servers.fresh()
    upgrade(url)
    fill(url, Plan(memories=20_000, secret_key=_KEY))
    servers.settle(url)
    os.environ |= {"CALLBOARD_DATABASE_URL": url, "CALLBOARD_SECRET_KEYS": b64encode(_KEY).decode()}
    print(f"{'':12}" + "".join(f"{way + ': ours':>15}{'servers':>10}" for way in _WAYS))
    for name, case in _cases().items():
        best = {way: (float("inf"), float("inf")) for way in _WAYS}
        for number in range(rounds):
            for way in _WAYS[:: 1 if number % 2 else -1]:
                seen = _measure(servers, way, case, times)
                best[way] = min(best[way][0], seen[0]), min(best[way][1], seen[1])
        print(f"{name:12}" + "".join(f"{ours:15.0f}{theirs:10.0f}" for ours, theirs in best.values()), flush=True)


def _measure(servers: Servers, way: str, case: Case, times: int) -> tuple[float, float]:
    database.dispose()
    if way == "comment":
        event.listen(database.get_engine(), "before_cursor_execute", _comment, retval=True)
    _transactions(case, 10 * _EACH, way)
    own, theirs = time.process_time(), cpu_seconds(servers.roots)
    _transactions(case, times, way)
    own, theirs = time.process_time() - own, cpu_seconds(servers.roots) - theirs
    return 1e6 * own / times, 1e6 * theirs / times


def _transactions(case: Case, times: int, way: str) -> None:
    for number in range(times):
        if number % _EACH == 0 and way != "bare":
            enter_run(Run(job="nothing", token=1))
        with transaction() as connection:
            connection.execute(*case)
    enter_run(None)


def _comment(  # the arguments are SQLAlchemy's
    _connection: object, _cursor: object, statement: str, parameters: object, _context: object, _many: object
) -> tuple[str, object]:
    run = peek_run()
    return f"{statement} /*correlation_id='{run.correlation_id if run else ''}'*/", parameters


def _cases() -> dict[str, Case]:
    """By the statement's name, with parameters that it finds something by."""
    with transaction() as connection:
        memory = connection.execute(
            text("select * from memory.memories where retention_status = 'active' limit 1")
        ).one()
        last = connection.execute(text("select max(id) from memory.memories")).scalar_one()
    slot = ("user_id", "project_id", "environment", "end_user_id", "extracted_type", "extracted_key")
    now = datetime.now(UTC)
    rules = {"now": now, "window": 30.0, "half_life": 30.0, "floor": 0.1, "after": last - 500, "last": last}
    session = {"session_id": "a-session", "project": "/a", "source": "claude", "session_type": "main", "meta": {}}
    return {
        "one text": (text("select text_ciphertext from memory.memories where id = :id"), {"id": memory.id}),
        "current": (writing.CURRENT, {"now": now, **{name: [getattr(memory, name)] for name in slot}}),
        "recall": (writing.RECALL, {"now": now, "ids": [memory.id]}),
        "forget 500": (forgetting._LOWER, rules),  # noqa: SLF001 - the very statement
        "sessions": (sessions.SESSIONS, {"rows": json.dumps([session])}),
    }


if __name__ == "__main__":
    main()
