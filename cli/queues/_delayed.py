"""`callboard queues delayed`, and `drop` for one of them or one that is ready."""

import json
import sys
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from callboard.broker import Delayed, Transport
from callboard.broker.codec import decode
from callboard.cancel import cancel
from callboard.envelope import facts_of
from callboard.errors import NotFound
from callboard.operations.queues import transport
from callboard.spec import spec_of
from cli import _times
from cli._ids import short
from cli._options import AsJson, Limit, operator, usage
from cli._output import Column, print_json, say, show
from cli.board import here_only
from cli.queues._known import QueueName, require
from observability.redaction import redact

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DeliveryId = Annotated[
    str, typer.Argument(metavar="DELIVERY", help="Id of the delivery, as `callboard queues delayed` shows it.")
]


def delayed(queue: QueueName, *, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List messages that wait for their time, the next one first."""
    here_only("callboard queues delayed")
    require(queue)
    broker, moment = transport(), _times.now()
    rows = [_row(broker, queue, one, moment) for one in broker.delayed(queue, limit=limit)]
    if as_json:
        print_json([{key: value for key, value in row.items() if key != "now"} for row in rows])
    else:
        show(rows, _COLUMNS, as_json=False, empty=f"No message of {queue} waits for its time.")


def _row(broker: Transport, queue: str, one: Delayed, moment: datetime) -> dict[str, Any]:
    job, args = _what(broker, queue, one.body)
    due = moment + timedelta(seconds=one.seconds)
    return {"delivery": one.delivery, "job": job, "due_at": due, "in_seconds": one.seconds, "args": args, "now": moment}


def _what(broker: Transport, queue: str, body: bytes) -> tuple[str | None, Any]:
    """The job and its arguments, secrets taken out; by name where the job is loaded here."""
    message, _ = decode(body, queue)
    if message is None:
        return None, None
    actor = broker.actors.get(message.actor_name)
    if actor is not None:
        return message.actor_name, facts_of(message, spec_of(actor)).args
    return message.actor_name, redact(
        {"args": list(message.args), **message.kwargs} if message.args else message.kwargs
    )


def drop(queue: QueueName, delivery: DeliveryId, *, yes: Yes = False) -> None:
    """Forget a message that waits, and cancel its run."""
    here_only("callboard queues drop")
    require(queue)
    broker = transport()
    _confirm(queue, delivery, yes=yes)
    if not broker.drop(queue, delivery):
        raise NotFound(
            f"No message {delivery!r} waits in {queue}: it may be running, or over; `callboard queues delayed {queue}` "
            "lists what waits for its time."
        )
    say(f"{delivery} is dropped from {queue}; {_cancel(delivery)}")


def _confirm(queue: str, delivery: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        usage(f"this would drop {delivery} from {queue} for good; add --yes to do it")
    typer.confirm(f"Drop {delivery} from {queue} for good?", abort=True)


def _cancel(delivery: str) -> str:
    """Write it into the ledger, and say what was written."""
    try:
        run_id = UUID(delivery.rpartition(".")[0])
        done = cancel(run_id, by=operator())
    except (ValueError, NotFound):
        return "the ledger had no open run of it."
    return f"run {short(run_id)} is {'cancelled' if done == 'cancelled' else 'asked to stop'}."


_COLUMNS = (
    Column("delivery", lambda row: row["delivery"], keep=True),
    Column("job", lambda row: row["job"] or "?", keep=True),
    Column("due", lambda row: _times.relative(row["due_at"], row["now"]), keep=True),
    Column("at (UTC)", lambda row: _times.clock(row["due_at"], row["now"])),
    Column("arguments", lambda row: json.dumps(row["args"], ensure_ascii=False) if row["args"] else ""),
)
