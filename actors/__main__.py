"""`python -m actors JOB [--arg key=value]...`: one run of one job in this process, as `callboard run JOB` does it."""

from __future__ import annotations

import argparse
import sys

from pydantic import ValidationError

from callboard.errors import ArgumentsError, CallboardError, DuplicateRun, LedgerUnavailable, NotFound
from callboard.exits import Exit
from callboard.settings import get_settings
from callboard.standalone import describe, exit_code, run_standalone
from observability import logs

_CODES: dict[type[Exception], Exit] = {
    ArgumentsError: Exit.USAGE,
    ValidationError: Exit.USAGE,
    DuplicateRun: Exit.DUPLICATE,
    NotFound: Exit.NOT_FOUND,
    LedgerUnavailable: Exit.SERVER_AWAY,
    CallboardError: Exit.FAILED,
    LookupError: Exit.SERVER_AWAY,
}


def _parser() -> argparse.ArgumentParser:
    codes = "; ".join(f"{code.value} {code.meaning}" for code in Exit)
    parser = argparse.ArgumentParser(prog="python -m actors", description="Run one job here.", epilog=codes)
    parser.add_argument("job", metavar="JOB", help="name of the job")
    parser.add_argument("--arg", metavar="KEY=VALUE", action="append", default=[], help="an argument; may be repeated")
    return parser


def main() -> int:
    """Run the job and return the exit code (`callboard.exits`); an error is one line on stderr."""
    asked = _parser().parse_args()
    try:
        settings = get_settings()
        logs.configure(format=settings.log_format, level=settings.log_level, service="cli")
        result = run_standalone(asked.job, asked.arg)
    except tuple(_CODES) as error:
        sys.stderr.write(f"{error}\n")
        return next(code for kind, code in _CODES.items() if isinstance(error, kind))
    sys.stdout.write(f"{describe(asked.job, result)}\n")
    return exit_code(result.outcome)


if __name__ == "__main__":
    sys.exit(main())
