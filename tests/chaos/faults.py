"""Break things on real processes and servers, and count: `python -m tests.chaos.faults --case a1,c4 --seed 7`.

Each case is one line of `tests/chaos/cases_*.py`; without `--case` all are played, one after another. `--out` keeps the
counts as JSON, one entry a case, and leaves the entries of other cases as they are; `--table` writes them into
`docs/reliability.md`. The exit code is 1 if a case is not clean.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.chaos import cases_bodies, cases_broker, cases_clock, cases_crash, cases_ledger
from tests.chaos.case import Case, run
from tests.chaos.table import write_table
from tests.chaos.tally import Tally

CASES: dict[str, Case] = {
    case.name: case
    for module in (cases_crash, cases_broker, cases_bodies, cases_clock, cases_ledger)
    for case in module.CASES
}


def main() -> None:
    """Play, print, keep."""
    given = _arguments()
    chosen = given.case.split(",") if given.case else list(CASES)
    unknown = sorted(set(chosen) - set(CASES))
    if unknown:
        sys.exit(f"no case is called {', '.join(unknown)}; there are {', '.join(CASES)}.")
    bad = [name for name in chosen if not _play(CASES[name], given)]
    if given.table:
        write_table(given.out, CASES)
    sys.exit(f"not clean: {', '.join(bad)}" if bad else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="", help="names, comma separated; empty: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="in the size of the tests")
    parser.add_argument("--out", type=Path, default=None, help="JSON file that keeps the counts")
    parser.add_argument("--table", action="store_true", help="write the counts in --out into docs/reliability.md")
    parser.add_argument("--keep", type=Path, default=None, help="folder for logs and data; unset: removed")
    given = parser.parse_args()
    if given.table and given.out is None:
        parser.error("--table needs --out: it is written from that file.")
    return given


def _play(case: Case, given: argparse.Namespace) -> bool:
    folder = Path(tempfile.mkdtemp(prefix=f"fault-{case.name}-", dir=given.keep))
    try:
        tally = run(case, folder, seed=given.seed, quick=given.quick)
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(told(tally), flush=True)  # noqa: T201 - a command's answer
    if given.out is not None:
        _keep(given.out, tally)
    return tally.clean or not case.promised


def told(tally: Tally) -> str:
    """One line for people."""
    counts = {name: value for name, value in asdict(tally).items() if name not in ("case", "fault", "broken")}
    words = " ".join(f"{name}={value}" for name, value in counts.items() if value not in (0, {}, None))
    return f"{tally.case:4} {'clean' if tally.clean else 'NOT CLEAN'} {words} {tally.broken or ''}".rstrip()


def _keep(out: Path, tally: Tally) -> None:
    kept = json.loads(out.read_text()) if out.exists() else {}
    kept[tally.case] = asdict(tally) | {"clean": tally.clean}
    out.write_text(json.dumps(kept, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
