"""`callboard run JOB` and `callboard run show RUN`: a first word that is no subcommand is the name of a job."""

from typing import Annotated

import typer
from typer._click import Context
from typer.core import TyperGroup

from callboard.exits import Exit
from callboard.settings import get_settings
from callboard.standalone import describe, exit_code, run_standalone
from cli import _samples
from cli._ids import short
from cli._options import Args, application
from cli._output import print_json, say
from cli._run_page import page, row_of
from cli._service import configure_logs
from cli.board import here_only


class RunGroup(TyperGroup):
    """Takes `run JOB --arg ...` for `run job JOB --arg ...`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Put the hidden subcommand `job` before anything that is neither a subcommand nor a request for help."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["job", *args]
        return super().parse_args(ctx, args)


app = application(cls=RunGroup, subcommand_metavar="JOB [--arg KEY=VALUE]... | show RUN")


@app.callback()
def run() -> None:
    """Run a job in this process, or show a run.

    Runs need the database, not the broker, and are in the ledger like any other. The exit code tells the outcome:
    what a Kubernetes CronJob or cron calls.
    """


@app.command("job", hidden=True)
def job(name: Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")], *, arg: Args = None) -> None:
    """Run a job here and now; nobody retries it."""
    here_only("callboard run JOB")
    _samples.use(get_settings().home)
    configure_logs("cli")
    result = run_standalone(name, arg or ())
    say(describe(name, result))
    if exit_code(result.outcome) is Exit.FAILED:
        say(f"callboard run show {short(result.run_id)} tells more.", stderr=True)
    raise typer.Exit(exit_code(result.outcome))


@app.command("show")
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its first 4 or more characters.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show a run: what asked for it, how it went, why it failed, and what it caused."""
    if as_json:
        print_json(row_of(run_id))
    else:
        page(run_id)
