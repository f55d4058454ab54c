"""Tables and the picture from results files: `python -m bench.report bench/results/<name>.json [more.json ...]`.

Several files of one machine are put together. The picture, docs/img/bench.svg, is drawn only from full-size drains of
ours and at least one peer; figures of a run with `--scale` below 1 show that things work, not how fast they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.entrants import KNOWN, OURS
from bench.outcome import METRICS, Metric, Outcome, Row
from bench.picture import Bar, draw

if TYPE_CHECKING:
    from collections.abc import Iterator

_PICTURE = Path(__file__).parent.parent / "docs" / "img" / "bench.svg"
_WHOLE = 100


def main() -> int:
    """Print the tables, draw the picture if the results allow it."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+", help="files that bench.compare wrote")
    parser.add_argument("--picture", type=Path, default=_PICTURE, help="default: docs/img/bench.svg")
    args = parser.parse_args()
    outcome = Outcome.load(args.results)
    print("\n".join(tables(outcome)))
    print(_draw(outcome, args.picture), file=sys.stderr)
    return 0


def tables(outcome: Outcome) -> Iterator[str]:
    """Markdown, line by line."""
    yield f"Measured {caption(outcome)}. Median (least to most); * = others kept more than 0.3 core busy."
    for case in outcome.cases():
        for metric in METRICS[case]:
            yield from ("", f"### {case}: {metric.title}", "", *table(outcome.rows(case, metric), metric))
    for trial in outcome.failures:
        yield f"\nFAILED {trial['case']} {trial['variant']} {trial['peer']}: {trial['error'].splitlines()[0]}"


def table(rows: list[Row], metric: Metric) -> Iterator[str]:
    """One table; its last column says how many times better ours is (below 1: worse)."""
    yield f"| peer | setting | size | {metric.title} | trials | ours is better, times |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        better = "" if row.ratio is None else f"{row.ratio:.2f}"
        trials = row.summary.trials if row.summary else 0
        yield f"| {title(row.peer)} | {row.setting} | {row.variant} | {_cell(row)} | {trials} | {better} |"


def _cell(row: Row) -> str:
    if row.summary is None:
        return "never"
    star = "*" if row.summary.disturbed else ""
    return f"{number(row.summary.median)}{star} ({number(row.summary.least)} to {number(row.summary.most)})"


def number(value: float) -> str:
    """Whole from 100 up, else three digits."""
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.3g}"


def title(peer: str) -> str:
    """How people call the peer."""
    return KNOWN[peer].title if peer in KNOWN else peer


def caption(outcome: Outcome) -> str:
    """When, of which commit, and on what."""
    head = outcome.head
    machine = head["machine"]
    servers = " and ".join(f"{name.capitalize()} {version}" for name, version in head["servers"].items())
    return f"{head['made'][:10]} at {head['commit']} on {machine['cpus']} cores ({machine['cpu']}), {servers}"


def _draw(outcome: Outcome, path: Path) -> str:
    bars = drain_bars(outcome)
    if outcome.scale < 1:
        return "no picture: these are scaled-down runs"
    if len(bars) < 2 or all(bar.ours is False for bar in bars):  # noqa: PLR2004 - ours and one more
        return "no picture: it needs drains of ours and of at least one peer"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(bars, title="No-op jobs a second", caption=caption(outcome)), encoding="utf-8")
    return f"{path} drawn"


def drain_bars(outcome: Outcome) -> list[Bar]:
    """The no-op drain of every peer at its largest size, the fastest first."""
    rate = METRICS["drain"][0]
    return [
        Bar(title(row.peer), row.summary.median, row.summary.least, row.summary.most, row.recorded, row.peer == OURS)
        for row in outcome.largest("drain", rate)
        if row.summary is not None
    ]


if __name__ == "__main__":
    sys.exit(main())
