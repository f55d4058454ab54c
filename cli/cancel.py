"""`callboard cancel`."""

from typing import Annotated

import typer

from cli._ids import short
from cli._options import application
from cli._output import say
from cli.board import board

app = application()


@app.command()
def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its first 4 or more characters.")],
) -> None:
    """Cancel a run."""
    at = board()
    found = at.run(run)
    name = f"{found['job']} {short(found['id'])}"
    if at.cancel(found["id"]) == "cancelled":
        say(f"{name} is cancelled; it had not started.")
    else:
        say(f"{name} is asked to stop: `callboard run show {short(found['id'])}` says when it has.")
