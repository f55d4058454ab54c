"""What the commands of a catalogue share: names of its rows, acts on them, and secrets that are asked for."""

from __future__ import annotations

import getpass
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from callboard.errors import NotFound
from callboard.ledger.database import transaction
from callboard.operations import audit
from cli._options import operator, usage, who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it stands in the audit.")]
FromStdin = Annotated[bool, typer.Option("--stdin", help="Read secrets from stdin, a line each, instead of asking.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="Only those of this one.")]
OfTenant = Annotated[str, typer.Option("--tenant", metavar="TENANT", help="Whose it is: id or name.")]

_SHOWN = 5
#: How the events of a tenant's audit rows begin, and what they call the thing.
_AUDITED = {
    "webhook": ("webhook.", "webhook"),
    "destination": ("siem.destination_", "siem_destination"),
    "connection": ("connection.", "connection"),
}
_DONE = {
    "add": "added",
    "disable": "disabled",
    "enable": "enabled",
    "rotate": "secret_rotated",
    "sync": "sync_requested",
    "token": "token_replaced",
}


def only(found: Sequence[RowMapping], what: str, word: str) -> RowMapping:
    """The one row that a word names.

    Raises:
        NotFound: It names none, or several; then the message has their ids.
    """
    if not found:
        raise NotFound(f"no {what} has the id or the name {word!r}.")
    if len(found) > 1:
        ids = ", ".join(str(row["id"]) for row in found[:_SHOWN])
        raise NotFound(f"{len(found)} {what}s are called {word!r}; give an id instead: {ids}.")
    return found[0]


def named(find: Callable[[Connection, str], Sequence[RowMapping]], what: str, word: str) -> RowMapping:
    """As `only`, asking the catalogue.

    Raises:
        NotFound: As `only`.
    """
    with transaction() as connection:
        return only(find(connection, word), what, word)


@contextmanager
def changing() -> Iterator[Connection]:
    """A transaction that changes a catalogue's tables.

    Raises:
        typer.BadParameter: The catalogue refused a field; the message names it.
    """
    with transaction() as connection:
        try:
            yield connection
        except ValueError as error:
            usage(str(error).rstrip("."))


def note(
    connection: Connection, action: str, row: str, why: str, *, tenant: UUID | None = None, **detail: object
) -> None:
    """Write into the audit what was done.

    Args:
        connection: In whose transaction.
        action: What, as `<thing>.<verb>`.
        row: The id of what it was done to.
        why: The reason that was given.
        tenant: Whose auditors are told too, with the systems that their audit rows are forwarded to.
        **detail: More, without secrets.
    """
    thing, _, verb = action.partition(".")
    audit(connection, who(), action, (thing, row), why=why, detail=detail)
    if tenant is not None:
        _tell_auditors(connection, tenant, thing, verb, {"id": row, "by": operator(), "why": why})


def _tell_auditors(connection: Connection, tenant: UUID, thing: str, verb: str, payload: dict[str, str]) -> None:
    from actors.memory.audit import AuditRow  # noqa: PLC0415 - a catalogue: it declares jobs
    from actors.memory.audit import audit as tell  # noqa: PLC0415 - see above

    prefix, resource = _AUDITED[thing]
    event = f"{prefix}{_DONE[verb]}"
    tell(
        connection,
        [AuditRow(tenant_id=tenant, event_type=event, resource_type=resource, action=verb, payload=payload)],
    )


def ask_secret(what: str, *, from_stdin: bool) -> str:
    """A secret: the next line of stdin, or asked for without being shown.

    Raises:
        typer.BadParameter: There is nobody to ask, or nothing was given.
    """
    if not from_stdin and not sys.stdin.isatty():
        usage(f"there is no terminal to ask for the {what} on; give it by --stdin, as one line")
    given = sys.stdin.readline() if from_stdin else getpass.getpass(f"{what[:1].upper()}{what[1:]}: ")
    if not given.strip():
        usage(f"the {what} is empty")
    return given.strip()
