"""`callboard sessions`: what people do with the sessions catalogue, beside its jobs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from actors.sessions.backup import BackupError, list_backups
from actors.sessions.backup import restore as load_backup
from actors.sessions.pending import reset_index as reset_messages
from actors.sessions.search import Found
from actors.sessions.search import search as nearest
from actors.sessions.settings import get_sessions_settings
from callboard.errors import CallboardError
from callboard.settings import get_settings
from cli import _samples, _times
from cli._options import AsJson, application
from cli._output import Column, Row, counted, say, show

app = application(no_args_is_help=True)


@app.callback()
def sessions() -> None:
    """Search, restore and repair the sessions catalogue."""
    _samples.use(get_settings().home)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for, in your own words.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most messages to show.")] = 10,
    *,
    as_json: AsJson = False,
) -> None:
    """Find the messages nearest in meaning to a query."""
    rows = [_found(found) for found in nearest(query, limit)]
    columns = [Column("distance", _distance), Column("session", _session), Column("message", _message)]
    show(rows, columns, as_json=as_json, empty="Nothing is indexed yet: `callboard trigger index_pending --wait`.")


def _found(found: Found) -> Row:
    return {**found._asdict(), "uuid": str(found.uuid)}


def _distance(row: Row) -> str:
    return f"{row['distance']:.3f}"


def _session(row: Row) -> str:
    return str(row["session_id"])[:8]


def _message(row: Row) -> Text:
    return Text(" ".join(str(row["content"]).split()))


@app.command()
def backups(*, as_json: AsJson = False) -> None:
    """List the backups, newest first."""
    settings = get_sessions_settings()
    rows: list[dict[str, Any]] = [
        {"taken_at": found.taken_at, "path": str(found.path), "bytes": found.path.stat().st_size}
        for found in list_backups(settings.backup_dir, settings.backup_name)
    ]
    now = _times.now()
    columns = [
        Column("taken", lambda row: _times.relative(row["taken_at"], now)),
        Column("bytes", lambda row: f"{row['bytes']:,}"),
        Column("path", lambda row: row["path"]),
    ]
    show(rows, columns, as_json=as_json, empty="There is no backup yet: `callboard trigger backup --wait`.")


@app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A backup, as `callboard sessions backups` lists them.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what the tables hold now.")] = False,
) -> None:
    """Load a backup into the catalogue's tables: all of it, or nothing."""
    try:
        rows = load_backup(path, replace=replace)
    except BackupError as error:
        raise CallboardError(str(error)) from error
    say(f"{path.name}: {counted(rows, 'row')} restored; vectors are made anew by index_pending.")


@app.command("reset-index")
def reset_index(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every message, not only those that failed.")] = False,
) -> None:
    """Let index_pending try messages again that could not be embedded."""
    say(f"index_pending tries {counted(reset_messages(everything=everything), 'message')} again.")
