"""Where audit rows go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

import orjson
from sqlalchemy import text

from actors.memory.endpoints import require_secret, require_url
from actors.memory.tables.outgoing import AUDIT_CATEGORIES, DESTINATION_KINDS
from callboard import NotFound, PermanentError, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping

_ADD = text("""
insert into memory.siem_destinations (id, tenant_id, kind, url, token, options, categories)
values (:id, :tenant_id, :kind, :url, :token, cast(:options as jsonb), :categories)
""")
_SWITCH = text("update memory.siem_destinations set active = :active where id = :id")
_NEW_TOKEN = text("update memory.siem_destinations set token = :token where id = :id")
_SHOWN = """
select d.id, d.tenant_id, t.name as tenant, d.kind, d.url, d.options, d.categories, d.active, d.last_success_at,
       l.batch_id as stuck_batch, l.last_error, d.created_at
from memory.siem_destinations d join memory.tenants t on t.id = d.tenant_id
left join memory.siem_dead_letters l on l.destination_id = d.id and l.resolved_at is null
"""
_NAMED = text(f"{_SHOWN} where d.id::text = lower(:word)")
_LIST = text(f"""
{_SHOWN} where (cast(:tenant as uuid) is null or d.tenant_id = :tenant) order by t.name, d.kind, d.id limit :limit
""")
# A tenant without settings forwards; one that was deleted does not.
_LIVE = """
from memory.siem_destinations d join memory.tenants t on t.id = d.tenant_id
left join memory.tenant_settings s on s.tenant_id = d.tenant_id
where d.active and t.deleted_at is null and coalesce(s.siem_enabled, true)
"""
_LOAD = text(f"""
select d.id, d.tenant_id, d.kind, d.url, d.token, d.options, d.categories, d.cursor_transaction, d.cursor_id,
       d.cursor_transaction >= (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint as ahead
{_LIVE} and d.id = :id
""")
_WAITING = text(f"""
select d.id,
       exists (select from memory.siem_dead_letters l
               where l.destination_id = d.id and l.resolved_at is null) as blocked,
       d.cursor_transaction >= (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint
       or exists (select from memory.audit_logs a
               where a.tenant_id = d.tenant_id and (a.transaction_id, a.id) > (d.cursor_transaction, d.cursor_id)
                 and a.transaction_id < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint
                 and a.category = any(d.categories)) as waiting
{_LIVE} order by d.id
""")  # noqa: S608 - constants only


@dataclass(frozen=True, slots=True)
class Destination:
    """One of them; `cursor` is the transaction and id of the last audit row that it took."""

    id: UUID
    tenant_id: UUID
    kind: str
    url: str
    sealed_token: bytes
    options: dict[str, Any]
    categories: list[str]
    cursor: tuple[int, int]

    @classmethod
    def load(cls, connection: Connection, name: UUID) -> Self | None:
        """The destination, None where nothing is to be forwarded to it: it, or its tenant, is away or switched off.

        Raises:
            PermanentError: Its cursor is of another database server: the database was moved by a dump.
        """
        row = connection.execute(_LOAD, {"id": name}).one_or_none()
        if row is None:
            return None
        if row.ahead:
            raise PermanentError(
                f"SIEM destination {name} has seen transaction {row.cursor_transaction}, which this database server "
                "has not reached: the database came here by a dump. Set memory.audit_logs.transaction_id to 0 in all "
                "rows, and memory.siem_destinations.cursor_transaction too, then forwarding goes on from cursor_id."
            )
        cursor = row.cursor_transaction, row.cursor_id
        return cls(row.id, row.tenant_id, row.kind, row.url, bytes(row.token), row.options, row.categories, cursor)

    @property
    def breaker_key(self) -> str:
        """The key of its circuit breaker."""
        return f"siem:{self.id}"

    @property
    def token(self) -> str:
        """The HEC token, API key or signing secret.

        Raises:
            PermanentError: It cannot be unsealed here.
        """
        return unseal(self.sealed_token).decode()

    def option(self, name: str, default: str) -> str:
        """A text among its options."""
        return str(self.options.get(name) or default)


def add_destination(
    connection: Connection,
    *,
    tenant_id: UUID,
    kind: str,
    url: str,
    token: str,
    options: dict[str, Any] | None = None,
    categories: Sequence[str] = AUDIT_CATEGORIES,
) -> UUID:
    """Forward the tenant's audit rows, all that there are, to one more place. Returns its id.

    Args:
        connection: In whose transaction.
        tenant_id: Whose rows.
        kind: splunk, datadog or custom.
        url: `https://splunk.example.org:8088`, `https://http-intake.logs.datadoghq.eu`, or the endpoint itself.
        token: The HEC token, the API key, or a Standard Webhooks secret (`whsec_...`); kept sealed.
        options: Of Splunk: index, sourcetype, source, host. Of Datadog: service, env, source, host.
        categories: Of which rows.

    Raises:
        ValueError: The kind or a category is none, or the address or the token does not fit.
        PermanentError: There is no key to seal the token with.
    """
    if kind not in DESTINATION_KINDS:
        raise ValueError(f"kind={kind!r} must be one of {', '.join(DESTINATION_KINDS)}.")
    unknown = sorted(set(categories) - set(AUDIT_CATEGORIES))
    if unknown or not categories:
        raise ValueError(f"categories={list(categories)!r} must be some of {', '.join(AUDIT_CATEGORIES)}.")
    require_url(url)
    _require_token(kind, token)
    name = uuid4()
    given = {"id": name, "tenant_id": tenant_id, "kind": kind, "url": url, "token": seal(token.encode())}
    told = orjson.dumps(options or {}).decode()
    connection.execute(_ADD, given | {"options": told, "categories": list(categories)})
    return name


def switch(connection: Connection, destination: UUID, *, active: bool) -> None:
    """Forward to it, from where it was left, or no more.

    Raises:
        NotFound: There is none of that id.
    """
    _one(connection, _SWITCH, destination, active=active)


def replace_token(connection: Connection, destination: RowMapping, token: str) -> None:
    """Use another token for a destination as `named` gives it.

    Raises:
        NotFound: It is there no more.
        ValueError: The token does not fit its kind.
    """
    _require_token(destination["kind"], token)
    _one(connection, _NEW_TOKEN, destination["id"], token=seal(token.encode()))


def named(connection: Connection, word: str) -> Sequence[RowMapping]:
    """The destination whose id a word is, without its token; `stuck_batch` was given up on, and holds up the rest."""
    return connection.execute(_NAMED, {"word": word}).mappings().all()


def listing(connection: Connection, *, tenant: UUID | None = None, limit: int) -> Sequence[RowMapping]:
    """Destinations by tenant, each as `named` gives it."""
    return connection.execute(_LIST, {"tenant": tenant, "limit": limit}).mappings().all()


def _one(connection: Connection, statement: Any, destination: UUID, **given: object) -> None:  # noqa: ANN401 - a statement
    if connection.execute(statement, {"id": destination, **given}).rowcount != 1:
        raise NotFound(f"There is no destination {destination}.")


def _require_token(kind: str, token: str) -> None:
    if kind == "custom":
        require_secret(token)
    elif not token.strip() or not token.isprintable():
        raise ValueError("token must be one line of text, as the receiving system gave it.")


def waiting(connection: Connection) -> Sequence[Any]:
    """Every destination that is switched on: id, `waiting` if it has rows to get, `blocked` by a dead letter."""
    return connection.execute(_WAITING).all()
