"""`callboard migrate`."""

from typing import Annotated

import typer

from callboard.exits import Exit
from callboard.ledger import migrate as revisions
from callboard.ledger.database import database_url
from callboard.settings import get_settings
from cli._options import application
from cli._output import say

app = application()


@app.command()
def migrate(
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if the database is behind.")] = False,
) -> None:
    """Bring the database to the newest revision."""
    url = database_url(get_settings())
    before, newest = revisions.current(url), revisions.head()
    if check:
        behind = before != newest
        say(f"The database is at {before or 'nothing'}, this version needs {newest}." + _mend(behind=behind))
        raise typer.Exit(Exit.FAILED if behind else Exit.OK)
    revisions.upgrade(url)
    say(f"The database is at {newest}" + (" already." if before == newest else f"; it was at {before or 'nothing'}."))


def _mend(*, behind: bool) -> str:
    return " Run `callboard migrate`." if behind else ""
