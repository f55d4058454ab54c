"""The reference pages of metrics and log events, built from their tables.

python -m observability.docs           write docs/reference/metrics.md and events.md
python -m observability.docs --check   exit 1 if a page differs from what its table says
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from observability import _scan
from observability._run_line import run_line
from observability.catalogue import CATALOGUE, LABEL_VALUES, OTHER, Metric, Process, of
from observability.events import COMMON_FIELDS, EVENTS, JOB_FINISHED, JOB_STARTED, STATUSES, Event
from observability.rules.reference import alerts_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ROOT", "events_page", "main", "metrics_page", "outdated", "pages"]

#: The checkout; the pages are not part of an installed package.
ROOT = Path(__file__).resolve().parent.parent
_COMMAND = "python -m observability.docs"
_TICK = {"job": "auto_summarization_job", "trigger": "schedule", "attempt": 1}
_TASK = {"job": "webhook.deliver", "trigger": "send"}
_EXAMPLES: tuple[tuple[str, dict[str, object]], ...] = (
    (JOB_STARTED, {**_TICK, "started_at": "2026-05-04T10:00:00Z"}),
    (
        JOB_FINISHED,
        {
            **_TICK,
            "status": "success",
            "counts": {"scanned": 842, "summarised": 37, "skipped_unchanged": 805},
            "duration_ms": 14322,
        },
    ),
    (JOB_FINISHED, {**_TICK, "status": "dead_letter", "error": "connection refused", "duration_ms": 31}),
    (JOB_FINISHED, {**_TICK, "status": "skipped", "reason": "overlap"}),
    (JOB_FINISHED, {**_TASK, "id": "wd_8821", "attempt": 1, "status": "success", "notes": {"http_status": 200}}),
    (JOB_FINISHED, {**_TASK, "id": "wd_8822", "attempt": 2, "status": "retry", "notes": {"http_status": 503}}),
    (JOB_FINISHED, {**_TASK, "id": "wd_8822", "attempt": 3, "status": "dead_letter", "error": "timed out"}),
)
_PROCESSES: dict[Process, str] = {
    "worker": "Events: every `callboard worker` counts the attempts of its processes when the ledger has them, so its "
    "counters agree with the ledger's figures. They begin at 0 with the worker.",
    "scheduler": "By every `callboard scheduler`, the standby ones too.",
    "exporter": "State: read by `callboard exporter` from Postgres and the broker at each scrape, so it outlives every "
    "restart, and two exporters side by side say the same. A source that is down, or does not answer within 5 s, loses "
    "its series and has `callboard_exporter_source_up` 0; so does what a transport cannot tell, as RabbitMQ what is "
    "delayed. Jobs beyond `CALLBOARD_METRICS_MOST_ACTORS`, in the order of their names, are folded under "
    f"`{OTHER}`: their dead letters are summed, their ages are the longest, and of their schedules the one that is "
    "closest to being overdue speaks for all.",
}
_NOTICE = f"<!-- Built by `{_COMMAND}`. Change the table in the code, not this page. -->"


def metrics_page() -> str:
    """The text of docs/reference/metrics.md."""
    return _page(
        "Metrics",
        "Three processes serve them at `/metrics`, each its own. Names and labels are an interface: a change is an "
        "entry in the changelog.",
        *(block for process, about in _PROCESSES.items() for block in _served_by(process, about)),
        "## Label values",
        f"A value that is in none of these lists is counted under `{OTHER}`. A job's name is the label `actor`.",
        _table(["Label", "Values"], ([name, _codes(values)] for name, values in LABEL_VALUES.items())),
        "## Buckets",
        "Upper bounds in seconds.",
        _table(["Metric", "Buckets"], (_buckets_row(metric) for metric in CATALOGUE if metric.buckets)),
    )


def events_page(root: Path = ROOT) -> str:
    """The text of docs/reference/events.md."""
    known = {event.name for event in EVENTS}
    others = [found for found in _scan.find_events(root) if found.name not in known]
    return _page(
        "Log events",
        "One event a line. `text` is for a terminal, `json` for machines; `auto` takes text on a terminal and JSON "
        "elsewhere. Secrets are shown as `[redacted]`, control characters are escaped.",
        "## Events to rely on",
        _table(["Event", "Level", "Meaning", "Fields"], (_event_row(event) for event in EVENTS)),
        "As text, the events of runs are these lines:",
        "\n".join(["```text", *(str(run_line(name, fields)) for name, fields in _EXAMPLES), "```"]),
        "## What an attempt can end with",
        _table(["Status", "Meaning"], ([f"`{status}`", meaning] for status, meaning in STATUSES.items())),
        "## Fields of a JSON line",
        "In this order, before the event's own fields; one that does not apply is left out. In `job.finished`, "
        "`status` is called `outcome`, and `id` stands as `run_id` where the context has none.",
        _table(["Field", "Meaning"], ([f"`{name}`", meaning] for name, meaning in COMMON_FIELDS.items())),
        "## All other events",
        "As found in the source. Their names are stable, their fields may grow.",
        _table(["Event", "Level", "Logged by", "Fields"], (_found_row(found) for found in others)),
    )


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Path and text of each page."""
    folder = root / "docs" / "reference"
    alerts = {folder / "alerts.md": alerts_page()}
    return {folder / "metrics.md": metrics_page(), folder / "events.md": events_page(root)} | alerts


def outdated(root: Path = ROOT) -> list[Path]:
    """The pages that are missing or differ from what the tables say."""
    return [path for path, text in pages(root).items() if not path.exists() or path.read_text("utf-8") != text]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write or check the pages; the exit code is 1 if a check finds a difference."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description="Build the reference pages of metrics and events.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    if parser.parse_args(arguments).check:
        return _report(outdated(root), root)
    for path, text in pages(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def _report(stale: list[Path], root: Path) -> int:
    for path in stale:
        sys.stderr.write(f"{path.relative_to(root)} is out of date: run `{_COMMAND}`\n")
    return 1 if stale else 0


def _page(title: str, *blocks: str) -> str:
    return "\n\n".join([f"# {title}", _NOTICE, *blocks]) + "\n"


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _served_by(process: Process, about: str) -> Iterable[str]:
    yield f"## Served by the {process}"
    yield about
    heads = ["Metric", "Type", "Labels", "Source", "Meaning"]
    if process != "exporter":
        heads.remove("Source")  # it is the process itself
    yield _table(heads, (_metric_row(metric, heads) for metric in of(process)))


def _metric_row(metric: Metric, heads: Sequence[str]) -> list[str]:
    source = [metric.source] if "Source" in heads else []
    return [f"`{metric.name}`", metric.kind, _codes(metric.labels), *source, metric.help]


def _buckets_row(metric: Metric) -> list[str]:
    return [f"`{metric.name}`", ", ".join(f"{bound:g}" for bound in metric.buckets)]


def _event_row(event: Event) -> list[str]:
    return [f"`{event.name}`", event.level, event.meaning, _codes(event.fields)]


def _found_row(found: _scan.Found) -> list[str]:
    return [f"`{found.name}`", ", ".join(found.levels), _codes(found.modules), _codes(found.fields)]


if __name__ == "__main__":
    sys.exit(main())
