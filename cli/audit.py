"""`callboard audit`: who did what."""

import json
from typing import Annotated

import typer

from callboard.ledger import audit as ledger
from callboard.ledger.database import transaction
from cli import _times
from cli._accounts import fields, team
from cli._options import AsJson, Limit, age, application
from cli._output import Column, Row, show

app = application()


def _detail(row: Row) -> str:
    return json.dumps(row["detail"], ensure_ascii=False) if row["detail"] else ""


_COLUMNS = (
    Column("at", lambda row: _times.clock(row["at"], _times.now()), keep=True),
    Column("who", lambda row: row["who_name"]),
    Column("action", lambda row: row["action"], keep=True),
    Column("to", lambda row: f"{row['resource_type']} {row['resource_id']}"),
    Column("why", lambda row: row["why"]),
    Column("detail", _detail),
    Column("from", lambda row: row["ip"] or ""),
)


@app.command()
def audit(
    *,
    who: Annotated[
        str | None, typer.Option(metavar="WHO", help="Only this one's acts: an address, or a name such as cli:anna.")
    ] = None,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="Only this one, e.g. run.cancel; `run.` is all on runs.")
    ] = None,
    resource: Annotated[
        str | None, typer.Option(metavar="TYPE[:ID]", help="Only acts on this, e.g. queue:mail or dead_letter.")
    ] = None,
    of: Annotated[str | None, typer.Option("--team", metavar="TEAM", help="Only what was done for this team.")] = None,
    older_than: Annotated[str | None, typer.Option(metavar="AGE", help="Only older ones, e.g. 2h or 3d.")] = None,
    newer_than: Annotated[str | None, typer.Option(metavar="AGE", help="Only newer ones, e.g. 2h or 3d.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List who did what, newest first."""
    kind, _, of_id = (resource or "").partition(":")
    chosen = ledger.Filter(
        who=who,
        action=action,
        resource_type=kind or None,
        resource_id=of_id or None,
        team_id=None if of is None else team(of).id,
        older_than=age(older_than, "--older-than"),
        newer_than=age(newer_than, "--newer-than"),
    )
    with transaction() as connection:
        rows = [fields(entry) for entry in ledger.page(connection, chosen, limit=limit).rows]
    show(rows, _COLUMNS, as_json=as_json, empty="Nobody did anything that fits.")
