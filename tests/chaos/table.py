"""The table of `docs/reliability.md`, written from a results file: `python -m tests.chaos.table results.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.case import Case

PAGE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
_BEGIN, _END = "<!-- begin: measured -->", "<!-- end: measured -->"
# Stock Dramatiq 2.2.1 on Redis 7.0 under the same faults, measured before Callboard had a broker of its own.
STOCK = {
    "a1": "0 lost; recovery 551 s median, 1,457 s worst (18 trials)",
    "a1t": "0 lost; recovery 69 s median, 101 s worst (6 trials)",
    "a1l": "not run",
    "a2": "the child lives on and takes jobs, unsupervised",
    "a3": "the supervisor ends every sibling and itself",
    "a4": "one process takes all 16, runs 8; the other idles",
    "a5": "not run",
    "b1": "0 lost, 0 twice; 2,496 of 5,000 sends fail",
    "b1a": "0 lost, 0 twice",
    "b2": "899 of 5,000 lost, 216 twice, 32 stranded",
    "b2p": "899 of 5,000 lost, 216 twice, 32 stranded",
    "b4": "4,552 of 5,000 lost (server without persistence)",
    "b4p": "4,552 of 5,000 lost (server without persistence)",
    "b5": "accepted",
    "c1": "100 of 100 delayed messages stranded",
    "c2": "16 acknowledgements given up",
    "c2x": "not run",
    "c3": "8 acknowledgements given up, 1 stranded, 1 twice",
    "c4": "8 of 8 retries lost for good",
    "c5": "40 of 400 stranded",
    "c6": "20 of 20 ran twice",
    "c6a": "not run",
    "c7": "16 stranded, 8 failing jobs never retried",
    "c8": "not run",
    "d1": "0 lost, 0 twice; 6 s",
    "d2": "not run",
    "d2k": "52 prefetched wait for 60 s and the lottery",
    "d3": "gives nothing back, as after kill -9",
    "d4": "8 held idle until the longest job ends",
    "e": "12, 7 and 8 deaths in 90, 60 and 60 s, for ever; 0 dead letters; 4 of 200 innocents never complete",
    "f1": "109.7 s late, and only after adding workers",
    "f2": "16 of 16 started twice, 3 of 8 at the same time",
    "g1": "NaN, int keys accepted",
    "g2": "dead letter without a reason",
    "g3": "29 of 60 healthy messages stranded; no dead letter",
    "g4": "the worker thread dies, for good",
    "g5": "runs again after each restart",
    "i1a": "8 of 8 run twice (maintaining worker fast)",
    "i1b": "8 of 8 run twice",
    "i1c": "0 of 8 recovered in 100 s",
    "i3g": "delayed by 10 minutes more",
    "i3h": "run at once",
    "i4": "dead letters deleted",
    "k1": "recv and lock never end; `except:` completes",
    "k2": "0 both completed and dead (32 at a 10 ms interval)",
    "m1": "server blocked for more than 5 s",
}


def write_table(results: Path, cases: Mapping[str, Case]) -> None:
    """Put the counts of `results` between the marks of the page."""
    kept: dict[str, dict[str, Any]] = json.loads(results.read_text())
    lines = ["| case | fault | stock Dramatiq 2.2.1 | Callboard | recovery s: p50, p95, max |", "|---|---|---|---|---|"]
    lines += [_line(case, kept[name]) for name, case in cases.items() if name in kept]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n{_END}{after}", encoding="utf-8")


def _line(case: Case, counts: dict[str, Any]) -> str:
    recovery = counts["recovery"]
    seconds = ", ".join(f"{value:.1f}" for value in recovery) if recovery else ""
    return (
        f"| `{case.name}` | {case.fault} | {STOCK.get(case.name, 'not run')} | {_measured(case, counts)} | {seconds} |"
    )


def _measured(case: Case, counts: dict[str, Any]) -> str:
    sins = ("lost", "stranded", "undeclared", "overlapping", "unfounded", "misburied")
    words = [f"{counts['acked']:,} acked"]
    words += [f"**{counts[name]:,} {name}**" for name in sins if counts[name]] or ["0 lost, 0 stranded, 0 undeclared"]
    words += [f"{counts['dead']} dead"] if counts["dead"] else []
    words += [f"{counts['restarted']} restarted, marked"] if counts["restarted"] else []
    words += [f"**{complaint}**" for complaint in counts["broken"]]
    words += [f"{name}: {_plain(value)}" for name, value in counts["facts"].items()]
    return "; ".join(words) + ("" if case.promised else " (not promised)")


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return str(value).replace("|", "/")


if __name__ == "__main__":
    from tests.chaos.faults import CASES

    write_table(Path(sys.argv[1]), CASES)
