"""`callboard cancel`."""

from typing import Annotated

import typer

from callboard.ledger import listing
from callboard.ledger.database import transaction
from callboard.operations.runs import cancel as cancel_run
from cli._ids import short
from cli._options import application, who
from cli._output import say

app = application()


@app.command()
def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its first 4 or more characters.")],
) -> None:
    """Cancel a run."""
    with transaction() as connection:
        found = listing.run(connection, run)
    name = f"{found['job']} {short(found['id'])}"
    if cancel_run(found["id"], who=who()) == "cancelled":
        say(f"{name} is cancelled; it had not started.")
    else:
        say(f"{name} is asked to stop: `callboard run show {short(found['id'])}` says when it has.")
