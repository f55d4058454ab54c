"""`callboard jobs`."""

from dataclasses import asdict

from cli import _times
from cli._options import AsJson, application
from cli._output import Column, show
from cli.board import board

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
    rows = [asdict(job) for job in board().jobs()]
    if not as_json:
        moment = _times.now()
        rows = [row | {"now": moment} for row in rows]
    show(rows, _COLUMNS, as_json=as_json, empty=_EMPTY)
