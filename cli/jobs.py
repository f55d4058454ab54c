"""`callboard jobs`."""

from typing import Any

from callboard.job import Job
from callboard.loading import load_actors
from callboard.settings import get_settings
from cli import _times
from cli._options import AsJson, application
from cli._output import Column, show

app = application()

_EMPTY = "No job is declared. CALLBOARD_ACTORS names the actor modules; `callboard check` says what is wrong with it."
_COLUMNS = (
    Column("job", lambda job: job["job"], keep=True),
    Column("queue", lambda job: job["queue"]),
    Column("cadence", lambda job: job["cadence_words"] or "on request"),
    Column("next", lambda job: _times.relative(job["next_at"], job["now"])),
    Column("limit", lambda job: _times.short_span(job["time_limit_seconds"]), justify="right"),
    Column("what it does", lambda job: job["doc"]),
)


@app.command()
def jobs(*, as_json: AsJson = False) -> None:
    """List the jobs of the loaded catalogues."""
    rows = [_row(job) for job in load_actors(get_settings()).values()]
    if not as_json:
        moment = _times.now()
        rows = [row | {"now": moment} for row in rows]
    show(rows, _COLUMNS, as_json=as_json, empty=_EMPTY)


def _row(job: Job[Any, Any]) -> dict[str, object]:
    spec = job.spec
    cadence = spec.cadence
    return {
        "job": spec.name,
        "queue": spec.queue,
        "cadence": None if cadence is None else str(cadence),
        "cadence_words": None if cadence is None else cadence.describe(),
        "next_at": None if cadence is None else cadence.after(_times.now()),
        "time_limit_seconds": spec.time_limit,
        "single": spec.is_single,
        "single_per": spec.single_by,
        "durable": spec.is_durable,
        "on_crash": spec.on_crash,
        "retry": repr(spec.retry),
        "priority": spec.priority,
        "scope": spec.scope,
        "owner": spec.owner,
        "module": spec.fn.__module__,
        "doc": spec.doc,
    }
