"""`callboard check`: looks at everything, starts nothing, and stops at nothing."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from callboard.exits import Exit
from cli._options import AsJson, application
from cli._output import counted, print_json, say, state
from cli.check._all import findings
from cli.check._finding import ERROR, OK, WARNING, Finding

app = application()


@app.command()
def check(
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and warnings.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check settings, servers and jobs; starts nothing.

    Errors stand apart from warnings, each with what mends it. The exit code is 1 if there is an error.
    """
    found = findings()
    errors = [finding for finding in found if finding.level == ERROR]
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        _print(found, quiet=quiet)
    raise typer.Exit(Exit.FAILED if errors else Exit.OK)


def _print(found: list[Finding], *, quiet: bool) -> None:
    for level in (OK, WARNING, ERROR):
        if level != OK or not quiet:
            for finding in found:
                if finding.level == level:
                    _print_one(finding)
    count = {level: sum(finding.level == level for finding in found) for level in (ERROR, WARNING, OK)}
    say(f"{counted(count[ERROR], 'error')}, {counted(count[WARNING], 'warning')}, {count[OK]} fine")


def _print_one(finding: Finding) -> None:
    line = Text.assemble(state(finding.level.ljust(8)), (f"{finding.subject:<10}", "dim"), finding.what)
    if finding.mend:
        line.append(f"\n{'':18}{finding.mend}", style="dim")
    say(line)
