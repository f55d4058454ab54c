"""`python -m sandbox.company --database URL [--memories N] [--tenants N] [--seed N] [--largest 0.9]`.

The installation's key is read from the environment, as the installation itself does: CALLBOARD_SECRET_KEYS.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from base64 import b64decode

from sandbox.company import Plan, fill


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.company", description="Make up a company.")
    parser.add_argument("--database", required=True, help="URL of a migrated database")
    parser.add_argument("--memories", type=int, default=Plan.memories, help="over all tenants")
    parser.add_argument("--tenants", type=int, default=Plan.tenants)
    parser.add_argument("--largest", type=float, help="part of the memories that the first tenant has, e.g. 0.9")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--behind-days", type=float, default=Plan.behind_days, help="since the jobs last ran")
    parser.add_argument("--events", type=int, default=Plan.events, help="of apps, in `revenue`")
    parser.add_argument("--webhook", action="append", default=[], help="an endpoint for each tenant; may be repeated")
    parser.add_argument("--siem", action="append", default=[], metavar="KIND=URL", help="takes a tenant's audit rows")
    parser.add_argument("--outside", action="store_true", help="add connections with the stand-ins' credentials")
    return parser


def main() -> None:
    """Fill the database and say what is in it."""
    args = _parser().parse_args()
    first = os.environ.get("CALLBOARD_SECRET_KEYS", "").partition(",")[0].strip()
    plan = Plan(
        memories=args.memories,
        tenants=args.tenants,
        largest=args.largest,
        seed=args.seed,
        behind_days=args.behind_days,
        events=args.events,
        webhooks=tuple(args.webhook),
        siem=tuple((kind, url) for kind, _, url in (each.partition("=") for each in args.siem)),
        outside=args.outside,
        secret_key=b64decode(first) if first else None,
    )
    if plan.secret_key is None:
        sys.stderr.write("CALLBOARD_SECRET_KEYS is not set: the texts are noise that nobody can read\n")
    started = time.monotonic()
    filled = fill(args.database, plan)
    what = ", ".join(f"{number:,} {name}" for name, number in filled._asdict().items())
    sys.stderr.write(f"{what} in {time.monotonic() - started:.1f} s\n")


if __name__ == "__main__":
    main()
