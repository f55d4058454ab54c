"""docs/reference/jobs.md: every job of the catalogues that come with the engine, from their declarations."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

from callboard.job import Job
from callboard.loading import load_actors
from callboard.retry import NoRetry
from callboard.settings import Settings
from cli._markdown import page, table

if TYPE_CHECKING:
    from callboard.spec import JobSpec, Policy

_INTRODUCTION = (
    "All times are UTC, durations in seconds. A job's text is its docstring; its options are explained in "
    "[Write a job](../jobs.md)."
)
_HEAD = ["Job", "Cadence", "Queue", "Time limit", "Retries", "One at a time", "If its worker dies"]


def jobs_page() -> str:
    """The text of the page."""
    specs = _declared(Settings.model_construct())
    parts = [_INTRODUCTION, table(_HEAD, [_row(spec) for spec in specs])]
    return page("Jobs", "python -m cli.docs", [*parts, *(_text(spec) for spec in specs)])


def _declared(settings: Settings) -> list[JobSpec]:
    """The specs of the catalogues' jobs, by name; found in their modules, whatever the broker of this process is."""
    load_actors(settings)
    modules = [module for name, module in sys.modules.items() if name.startswith(settings.actors)]
    found = {value.spec.name: value.spec for m in modules for value in vars(m).values() if isinstance(value, Job)}
    return [found[name] for name in sorted(found)]


def _row(spec: JobSpec) -> list[str]:
    cadence = "on demand" if spec.cadence is None else f"`{spec.cadence}`, {spec.cadence.describe()}"
    overlap = f"per `{spec.single_by}`" if spec.single_by else ("yes" if spec.is_single else "no")
    crash = "fails" if spec.on_crash == "fail" else "runs again"
    return [f"`{spec.name}`", cadence, f"`{spec.queue}`", f"{spec.time_limit:g}", _retries(spec.retry), overlap, crash]


def _retries(policy: Policy) -> str:
    return "none" if isinstance(policy, NoRetry) else f"`{policy}`"


def _text(spec: JobSpec) -> str:
    return f"## `{spec.name}`\n\n{inspect.getdoc(spec.fn) or ''}"
