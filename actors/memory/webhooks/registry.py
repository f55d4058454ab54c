"""Webhooks as their owners register them: checked, and with their secrets sealed."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import insert, text

from actors.memory.endpoints import require_secret, require_url
from actors.memory.tables import webhooks
from actors.memory.webhooks.call import is_free
from callboard import NotFound, seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping

_SECRET_BYTES = 32
#: What an owner may set otherwise than the catalogue's settings: from, to, and of which kind.
BOUNDS: dict[str, tuple[float, float, tuple[type[float], ...]]] = {
    "retry_base_seconds": (0, 3600, (int, float)),
    "retry_factor": (1, 10, (int, float)),
    "max_retries": (0, 50, (int,)),
    "concurrency": (1, 100, (int,)),
    "timeout_seconds": (1, 30, (int, float)),
}
_ROTATE = text("update memory.webhooks set previous_secret = secret, secret = :secret where id = :id")
_FORGET = text("update memory.webhooks set previous_secret = null where id = :id")
_ENABLE = text("update memory.webhooks set active = true, disabled_reason = null, failing_since = null where id = :id")
_DISABLE = text("update memory.webhooks set active = false, disabled_reason = :why where id = :id and active")
# Secrets stay where they are.
_SHOWN = """
select w.id, w.tenant_id, t.name as tenant, w.project_id, w.name, w.description, w.url, w.event_types, w.active,
       w.disabled_reason, w.failing_since, w.auth_header_name, w.previous_secret is not null as has_two_secrets,
       w.retry_base_seconds, w.retry_factor, w.max_retries, w.concurrency, w.timeout_seconds, w.created_at
from memory.webhooks w join memory.tenants t on t.id = w.tenant_id
"""
_NAMED = text(f"{_SHOWN} where w.id::text = lower(:word) or w.name = :word")
_LIST = text(f"""
{_SHOWN} where (cast(:tenant as uuid) is null or w.tenant_id = :tenant) and (w.active or not :active_only)
order by t.name, w.name, w.id limit :limit
""")


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What an owner says of an endpoint; None is as the catalogue's settings say.

    Args:
        tenant_id: Whose events.
        name: For people.
        url: Where to; https, or http where private addresses are allowed.
        events: Types of events, e.g. `memory.created`; `*` is any.
        project_id: Only this project's events; None: all of the tenant's.
        description: For people.
        auth_header: Name and value of a header that is sent along; the value is kept sealed.
        secret: `whsec_` and base64 of 24 to 64 bytes; None makes one.
        retry_base_seconds: Wait before the first retry, 0 to 3,600.
        retry_factor: Each further wait is so many times longer, 1 to 10.
        max_retries: Retries after the first attempt, 0 to 50.
        concurrency: Deliveries under way at once, 1 to 100.
        timeout_seconds: Longest wait for an answer, 1 to 30.
    """

    tenant_id: UUID
    name: str
    url: str
    events: Sequence[str]
    project_id: UUID | None = None
    description: str = ""
    auth_header: tuple[str, str] | None = None
    secret: str | None = None
    retry_base_seconds: float | None = None
    retry_factor: float | None = None
    max_retries: int | None = None
    concurrency: int | None = None
    timeout_seconds: float | None = None


def register(connection: Connection, webhook: NewWebhook) -> tuple[UUID, str]:
    """Add a webhook; returns its id, and its secret, which is not shown again.

    Raises:
        ValueError: A field does not fit; names it.
        PermanentError: This installation has no key to seal secrets with.
    """
    _check(webhook)
    secret, own = webhook.secret or new_secret(), uuid4()
    header, value = webhook.auth_header or (None, None)
    row: dict[str, Any] = {name: getattr(webhook, name) for name in _COLUMNS}
    row |= {"id": own, "event_types": list(webhook.events), "secret": seal(secret.encode())}
    row |= {"auth_header_name": header, "auth_header_value": None if value is None else seal(value.encode())}
    connection.execute(insert(webhooks), row)
    return own, secret


def rotate(connection: Connection, webhook_id: UUID) -> str:
    """Sign with a new secret, which is returned, and with the one before, until that is forgotten."""
    secret = new_secret()
    _one(connection, _ROTATE, webhook_id, secret=seal(secret.encode()))
    return secret


def forget_previous(connection: Connection, webhook_id: UUID) -> None:
    """Sign with the new secret only: its owner has changed over."""
    _one(connection, _FORGET, webhook_id)


def enable(connection: Connection, webhook_id: UUID) -> None:
    """Call it again; what was given up meanwhile can be replayed."""
    _one(connection, _ENABLE, webhook_id)


def disable(connection: Connection, webhook_id: UUID, why: str) -> None:
    """Call it no more; what is still to be delivered becomes dead letters, unless it was so before."""
    connection.execute(_DISABLE, {"id": webhook_id, "why": why})


def named(connection: Connection, word: str) -> Sequence[RowMapping]:
    """Webhooks that a word names, be it an id or a name."""
    return connection.execute(_NAMED, {"word": word}).mappings().all()


def listing(
    connection: Connection, *, tenant: UUID | None = None, active_only: bool = False, limit: int
) -> Sequence[RowMapping]:
    """Webhooks by tenant and name, without their secrets."""
    given = {"tenant": tenant, "active_only": active_only, "limit": limit}
    return connection.execute(_LIST, given).mappings().all()


def new_secret() -> str:
    """A secret as Standard Webhooks want it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


_COLUMNS = tuple(each.name for each in fields(NewWebhook) if each.name in webhooks.c and each.name != "secret")


def _one(connection: Connection, statement: Any, webhook_id: UUID, **given: object) -> None:  # noqa: ANN401 - a statement
    if connection.execute(statement, {"id": webhook_id, **given}).rowcount != 1:
        raise NotFound(f"There is no webhook {webhook_id}.")


def _check(webhook: NewWebhook) -> None:
    require_url(webhook.url)
    if not webhook.events or any(not each.strip() for each in webhook.events):
        raise ValueError("events must name at least one type of event; * is any.")
    if webhook.auth_header is not None and not is_free(webhook.auth_header[0]):
        raise ValueError(f"auth_header {webhook.auth_header[0]!r} is none, or one that every delivery has anyway.")
    for name in BOUNDS:
        _check_bounds(name, getattr(webhook, name))
    if webhook.secret is not None:
        require_secret(webhook.secret)


def _check_bounds(name: str, value: object) -> None:
    least, most, kinds = BOUNDS[name]
    fits = isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most
    if value is not None and not fits:
        whole = " a whole number" if kinds == (int,) else ""
        raise ValueError(f"{name}={value!r} must be{whole} from {least:g} to {most:g}.")
