"""`callboard smoke`: the whole of it in a temporary folder, every job once."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from callboard.exits import Exit
from callboard.settings import get_settings
from cli import _times
from cli._options import AsJson, application
from cli._output import Cell, Column, Row, console, counts, print_json, say, state, table
from cli._signals import Stopped, raising
from cli._smoke import Smoke, Verdict

app = application()


@app.command()
def smoke(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder there, with its logs and data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run every job once on sandbox input, in a temporary folder.

    Starts servers, a worker process and the stand-ins; touches nothing of yours. The exit code is 1 if a job did not
    complete.
    """
    began = time.monotonic()
    try:
        with raising(), _folder(keep=keep) as folder, Smoke(folder) as session:
            verdicts = list(session.run(lambda line: say(f"callboard: {line}", stderr=True)))
    except Stopped:
        raise typer.Exit(Exit.INTERRUPTED) from None
    _report(verdicts, as_json=as_json)
    bad = [verdict for verdict in verdicts if verdict.state not in ("completed", "not run")]
    if not as_json:
        say(f"{len(verdicts) - len(bad)} of {len(verdicts)} jobs fine, in {_times.span(time.monotonic() - began)}")
    raise typer.Exit(Exit.FAILED if bad or not verdicts else Exit.OK)


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    """A folder for this session, and an environment in which nothing points at the user's own servers and files."""
    folder = Path(tempfile.mkdtemp(prefix="callboard-smoke-"))
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("CALLBOARD_") and name != "CALLBOARD_ACTORS"]:
        del os.environ[name]
    os.environ["CALLBOARD_HOME"] = str(folder / "home")
    get_settings.cache_clear()
    try:
        yield folder
    finally:
        os.environ.clear()
        os.environ.update(before)
        get_settings.cache_clear()
        if keep:
            say(f"callboard: everything is kept in {folder}", stderr=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _summary(row: Row) -> Cell:
    return row["error"] or counts(row["counts"])


_COLUMNS = (
    Column("job", lambda row: row["job"], keep=True),
    Column("state", lambda row: state(row["state"]), keep=True),
    Column("took", lambda row: "" if row["seconds"] is None else _times.span(row["seconds"]), keep=True),
    Column("counts or error", _summary),
)


def _report(verdicts: list[Verdict], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [vars(verdict) for verdict in verdicts]
    if as_json:
        print_json(rows)
    else:
        console().print(table(rows, _COLUMNS))
