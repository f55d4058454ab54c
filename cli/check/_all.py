"""All checks, in the order in which one that fails explains the next."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from callboard.ledger.database import dispose
from cli._errors import explain
from cli._samples import use
from cli.check import _breakers, _broker, _database, _jobs, _machine, _notifications, _settings
from cli.check._finding import error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.check._finding import Check, Finding


def findings() -> list[Finding]:
    """Everything that was found; no check keeps another from running."""
    found = list(_guarded("settings", _settings.engine))
    settings = _settings.mended()
    use(settings.home)
    found += _guarded(
        "jobs", partial(_jobs.modules, settings)
    )  # first: jobs say which queues and connections there are
    found += _guarded("settings", partial(_settings.unread, settings))
    found += _guarded("settings", partial(_settings.catalogues, settings))
    found += _guarded("database", partial(_database.checks, settings))
    found += _guarded("broker", partial(_broker.checks, settings))
    found += _guarded("jobs", partial(_jobs.queues, settings))
    found += _guarded("breakers", _breakers.checks)
    found += _guarded("notify", partial(_notifications.checks, settings))
    found += _guarded("machine", partial(_machine.checks, settings))
    dispose()
    return found


def _guarded(subject: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as failure:  # noqa: BLE001 - becomes a finding, so that the other checks run
        yield error(
            subject, f"this check itself failed: {explain_briefly(failure)}", "mend what it names, and check again."
        )


def explain_briefly(failure: Exception) -> str:
    """The one line that the command line would print for the error."""
    return explain(failure)[0]
