"""Measure Callboard beside its peers: `python -m bench.compare [--peers a,b] [--cases drain,idle] [--repeats 5]`.

Starts one Valkey and one Postgres in a temporary folder, and gives every trial an emptied broker and a new database.
Peers take turns within a repeat, so that a drift of the machine hits all alike. Trials are written to the results file
as they end; Ctrl-C keeps what is there. Exits 1 when a trial failed: a job lost or run twice, a peer that hung.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import machine, venvs
from bench.cases import Case, TrialError, plan
from bench.entrants import ALL, KNOWN
from bench.figures import FOREIGN_CORES
from bench.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.entrants import Entrant

_FOLDER = Path(__file__).parent / "results"
_BETWEEN_SECONDS = 0.5
_WHOLE = 1000


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; exits with a message when one names an unknown peer or case."""
    cases = list(dict.fromkeys(case.name for case in plan()))
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", type=_among(list(KNOWN)), default=list(ALL), metavar="A,B", help=", ".join(KNOWN))
    parser.add_argument("--cases", type=_among(cases), default=cases, metavar="A,B", help=", ".join(cases))
    parser.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="trials of each; medians of five unless told"
    )
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="shrink counts: 0.01 shows that it works")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: bench/results/<time>.json")
    parser.add_argument("--estimate", action="store_true", help="say how long it would take, and end")
    parser.add_argument("--install", action="store_true", help="make the peers' environments, and end")
    return parser.parse_args(words)


def _among(known: list[str]) -> Any:  # noqa: ANN401 - what argparse calls a type
    def split(text: str) -> list[str]:
        words = [word.strip() for word in text.split(",") if word.strip()]
        unknown = [word for word in words if word not in known]
        if unknown or not words:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is not among {', '.join(known)}")
        return words

    return split


def main() -> int:
    """Install, estimate, measure, and print where the results are."""
    args = arguments()
    entrants = [KNOWN[name] for name in args.peers]
    cases = [case for case in plan(args.scale) if case.name in args.cases]
    print(f"about {_minutes(entrants, cases, args.repeats)} for {args.repeats} repeats", flush=True)
    if args.estimate:
        return 0
    for entrant in entrants:
        venvs.prepare(entrant)
    if args.install:
        return 0
    out = args.out or _FOLDER / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    failed = _measure(entrants, cases, args, out)
    print(f"\n{out}: `python -m bench.report {out}` prints the table")
    return 1 if failed else 0


def _minutes(entrants: Sequence[Entrant], cases: Sequence[Case], repeats: int) -> str:
    seconds = repeats * sum(case.seconds(each) for case in cases for each in entrants if case.fits(each))
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"


def _measure(entrants: Sequence[Entrant], cases: Sequence[Case], args: argparse.Namespace, out: Path) -> int:
    failed = 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as by Ctrl-C
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        servers = Servers(Path(folder))
        try:
            results = _head(args, servers)
            for case in cases:
                for repeat in range(1, args.repeats + 1):
                    for entrant in entrants:
                        if case.fits(entrant):
                            failed += _trial(results, case, repeat, entrant, servers)
                            _save(out, results)
        except KeyboardInterrupt:
            print("\nstopped; what was measured is kept")
        finally:
            servers.stop()
    return failed


def _head(args: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    return {
        "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "commit": _commit(),
        "machine": machine.describe(),
        "servers": servers.versions(),
        "scale": args.scale,
        "peers": {},
        "trials": [],
    }


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - git of the PATH
        cwd=Path(__file__).parent,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _trial(results: dict[str, Any], case: Case, repeat: int, entrant: Entrant, servers: Servers) -> int:
    """Run one trial and add it to the results; 1 if it failed."""
    time.sleep(_BETWEEN_SECONDS)
    trial: dict[str, Any] = {"peer": entrant.name, "case": case.name, "variant": case.variant, "repeat": repeat}
    started = time.monotonic()
    try:
        figures = case.run(entrant, servers, **case.sizes)
    except TrialError as error:
        trial["error"] = str(error)
    else:
        facts = figures.pop("facts")
        results["peers"][entrant.name] = {"versions": facts["versions"], "python": facts["python"]}
        trial |= {"setting": figures.pop("setting"), "foreign": figures.pop("foreign"), "sizes": case.sizes}
        trial["figures"] = {
            name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()
        }
    results["trials"].append(trial)
    print(line(trial, time.monotonic() - started), flush=True)
    return int("error" in trial)


def line(trial: dict[str, Any], took: float) -> str:
    """One trial in one line; a star says that others kept more than 0.3 core busy."""
    head = f"{trial['case']:8} {trial['variant']:18} {trial['repeat']} {trial['peer']:14}"
    if "error" in trial:
        return f"{head} FAILED: {trial['error'].strip()}"
    star = "*" if trial["foreign"] > FOREIGN_CORES else " "
    shown = (f"{name} {_short(value)}" for name, value in trial["figures"].items())
    return f"{head} {star} {'  '.join(shown)}  [{took:.0f} s, others {trial['foreign']:.2f}]"


def _short(value: object) -> str:
    """Figures that are not whole, to four digits or as whole numbers."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.4g}"


def _save(out: Path, results: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_suffix(".draft")
    draft.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draft.replace(out)


if __name__ == "__main__":
    sys.exit(main())
