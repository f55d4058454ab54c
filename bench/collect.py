"""How fast `collect_all` takes in session files: `python -m bench.collect [--sessions 10000] [--messages 1000000]`.

Writes session files to a temporary folder, starts an embedded Postgres there, and runs the job twice in one child
process with the whole stack loaded: the first pass takes all in, the second finds nothing new. Prints both times,
messages a second and the child's peak memory; exits 1 when a message is missing or a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from callboard import current_run, get_job, get_settings
from callboard.embedded import EmbeddedServers
from callboard.ledger.migrate import upgrade
from callboard.loading import load_actors
from sandbox.session_files import Plan, environment, write_sessions

LEAST_RATE, MOST_SECOND_PASS, MOST_RSS = 20_000, 5.0, 300


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.collect", description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--mix", default="claude=70,codex=25,gemini=5", help="parts by tool")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure() -> None:
    """In the child: load all that a worker loads, collect twice, and print what was seen as JSON."""
    load_actors(get_settings())
    seen: dict[str, Any] = {"rss_loaded": _peak_mib()}
    for name in ("first", "second"):
        started = time.monotonic()
        get_job("collect_all")()
        seen[name] = time.monotonic() - started
    print(json.dumps(seen | {"rss": _peak_mib(), "counts": current_run().counts}))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _generate(folder: Path, args: argparse.Namespace) -> int:
    mix = {tool: int(parts) for tool, _, parts in (item.partition("=") for item in args.mix.split(","))}
    started = time.monotonic()
    written = write_sessions(folder, Plan(args.sessions, args.messages, mix=mix))
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"generated   {len(files)} files, {size / 1e6:.0f} MB, in {time.monotonic() - started:.1f} s")
    return written.messages.total()


def _run(folder: Path) -> dict[str, Any]:
    with EmbeddedServers(folder / "home") as servers:
        url = servers.start().database_url
        upgrade(url)
        env = {**os.environ, **environment(folder / "files"), "CALLBOARD_DATABASE_URL": url}
        env |= {"CALLBOARD_HOME": str(folder / "home"), "CALLBOARD_ACTORS": "actors.sessions"}
        child = [sys.executable, "-m", "bench.collect", "--child"]
        done = subprocess.run(child, env=env, check=True, stdout=subprocess.PIPE)  # noqa: S603 - ourselves
        return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Generate, measure and judge."""
    args = _arguments()
    if args.child:
        _measure()
        return 0
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as name:
        folder = Path(name)
        expected = _generate(folder / "files", args)
        seen = _run(folder)
    inserted, rate = seen["counts"]["messages_inserted"], expected / seen["first"]
    print(f"first pass  {inserted} messages in {seen['first']:.1f} s: {rate:,.0f} messages/s (at least {LEAST_RATE:,})")
    print(f"second pass {seen['second']:.2f} s over unchanged files (at most {MOST_SECOND_PASS} s)")
    print(f"peak RSS    {seen['rss']:.0f} MiB, {seen['rss_loaded']:.0f} before the first pass (at most {MOST_RSS} MiB)")
    print(f"counts      {seen['counts']}")
    good = rate >= LEAST_RATE and seen["second"] <= MOST_SECOND_PASS and seen["rss"] <= MOST_RSS
    return 0 if good and inserted == expected else 1


if __name__ == "__main__":
    sys.exit(main())
