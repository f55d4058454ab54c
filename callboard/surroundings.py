"""Why a run does not run, asked of the ledger and the broker: the facts that `callboard.waiting` explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import structlog

from callboard.broker import RedisBroker, Transport
from callboard.compose import get_broker
from callboard.ledger import surroundings
from callboard.spec import spec_of
from callboard.waiting import Facts

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from callboard.broker import Depth
    from callboard.spec import JobSpec

_log = structlog.get_logger(__name__)


class _Held(NamedTuple):
    """What the broker says of a run's message and of its queue; None is not known."""

    depth: Depth | None = None
    paused: bool | None = None
    has_message: bool | None = None
    most_claimed: int | None = None


def facts_about(connection: Connection, run: RowMapping, *, now: datetime, name: str) -> Facts:
    """What `waiting.reasons` wants to know of a run; a broker that does not answer leaves its part unknown.

    Args:
        connection: A transaction on the ledger.
        run: The run's row.
        now: The moment it is asked at.
        name: How people name the run, e.g. the first characters of its id.
    """
    spec = _spec(run["job"])
    rate = None if spec is None else spec.rate_window
    held = _ask(run) if run["state"] == "pending" else _Held()
    around = surroundings.around(connection, run, rate)
    return Facts(
        now=now,
        run=name,
        state=run["state"],
        job=run["job"],
        queue=run["queue"],
        attempt=run["attempt"],
        eligible_at=run["eligible_at"],
        retry_at=run["retry_at"],
        reason=run["reason"] or "",
        error=f"{run['error_type']}: {run['error']}" if run["error_type"] else "",
        sent=run["enqueued_at"] is not None,
        resent=spec is not None and spec.is_durable,
        has_message=held.has_message,
        paused=held.paused,
        ready=None if held.depth is None else held.depth.ready,
        claimed=None if held.depth is None else held.depth.claimed,
        most_claimed=held.most_claimed,
        concurrency=None if spec is None else spec.concurrency,
        rate=rate,
        rate_opens=_number(around["rate_opens"]),
        holder=str(around["holder"] or ""),
        silent=_number(around["silent"]),
        consumers=int(around["consumers"]),
        threads=int(around["threads"]),
        busy=int(around["busy"]),
        running=int(around["running"]),
    )


def _number(value: Any) -> float | None:  # noqa: ANN401 - Postgres gives a Decimal
    return None if value is None else float(value)


def _spec(job: str) -> JobSpec | None:
    actor = get_broker().actors.get(job)
    return None if actor is None else spec_of(actor)


def _ask(run: RowMapping) -> _Held:
    broker, queue = get_broker(), run["queue"]
    if not isinstance(broker, Transport):
        return _Held()
    try:
        has = broker.has([(queue, run["delivery"])])[0] if run["delivery"] else None
        return _Held(broker.depths([queue]).get(queue), queue in broker.paused(), has, _most_claimed(broker, queue))
    except Exception as error:  # noqa: BLE001 - said in the explanation: the ledger's half is worth showing all the same
        _log.debug("broker.away", error=str(error))
        return _Held()


def _most_claimed(broker: Transport, queue: str) -> int | None:
    if not isinstance(broker, RedisBroker):  # others keep no bound for the fleet
        return None
    found = cast("bytes | None", broker.client.hget(f"{broker.namespace}:limits", queue))
    return None if found is None else int(found)
