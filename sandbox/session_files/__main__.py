"""`python -m sandbox.session_files DIR --sessions 40 --messages 4000 [--days 40] [--bad]`."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from sandbox.session_files import DEFAULT_MIX, EPOCH, Plan, environment, write_bad_files, write_sessions


def _mix(text: str) -> dict[str, int]:
    return {tool: int(parts) for tool, _, parts in (item.partition("=") for item in text.split(","))}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.session_files", description="Make up session files.")
    parser.add_argument("dir", type=Path, help="folder to fill")
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--messages", type=int, default=4000, help="over all sessions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mix", type=_mix, default=dict(DEFAULT_MIX), help="parts by tool: claude=3,codex=1")
    parser.add_argument("--days", type=float, default=0.0, help="spread dates and mtimes from now so many days back")
    parser.add_argument("--bad", action="store_true", help="add damaged files")
    return parser


def main() -> None:
    """Write the files and print the variables that point the catalogue at them."""
    args = _parser().parse_args()
    newest = datetime.now(UTC) if args.days else EPOCH
    plan = Plan(args.sessions, args.messages, args.seed, args.mix, newest, args.days)
    written = write_sessions(args.dir, plan)
    if args.bad:
        write_bad_files(args.dir)
    sys.stderr.write(f"{written.sessions.total()} sessions, {written.messages.total()} messages\n")
    for name, value in environment(args.dir.absolute()).items():
        sys.stdout.write(f"{name}={value}\n")


if __name__ == "__main__":
    main()
