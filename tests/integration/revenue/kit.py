"""Teams, projects, apps, users and events of the tests, straight into the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import text

from actors.revenue.event_tables import EVENT_TABLES, Month
from actors.revenue.tables import metadata
from actors.revenue.users import connect
from callboard import transaction
from sandbox.revenuecat import KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOW = datetime.now(UTC)
MONTH = Month.of(NOW)
EXPIRED = NOW - timedelta(days=8)
RECENT = NOW - timedelta(days=6)


def execute(sql: str, **given: object) -> None:
    with transaction() as connection:
        connection.execute(text(sql), given)


def rows(sql: str, **given: object) -> Sequence[Any]:
    with transaction() as connection:
        return connection.execute(text(sql), given).all()


def one(sql: str, **given: object) -> Any:  # noqa: ANN401 - whatever the column holds
    with transaction() as connection:
        return connection.execute(text(sql), given).scalar_one()


def empty() -> None:
    """Drop what is no table of the catalogue, partitions too, and delete all rows."""
    known = [table.name for table in metadata.tables.values()]
    others = rows(
        "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = 'revenue' and c.relkind = 'r' and not c.relname = any(:known)",
        known=known,
    )
    if others:
        execute(f"drop table {', '.join(f'revenue.{name}' for (name,) in others)}")
    execute("delete from revenue.teams; delete from revenue.event_deletions")


def add(table: str, **given: object) -> UUID:
    """A row with an id of its own."""
    given = {"id": uuid4(), **given}
    names = ", ".join(given)
    execute(f"insert into revenue.{table} ({names}) values ({', '.join(f':{name}' for name in given)})", **given)
    return UUID(str(given["id"]))


def add_project(users: Iterable[str] = (), *, key: str = KEY, **more: object) -> UUID:
    """A team with a project whose integration has this key, and users."""
    project = add("projects", team_id=add("teams", name="Team"), name="Project", **more)
    with transaction() as connection:
        connect(connection, project, key)
    add_users(project, users)
    return project


def add_users(project: UUID, users: Iterable[str]) -> None:
    found = list(users)
    execute(
        "insert into revenue.app_users (project_id, user_id) select :project, unnest(cast(:users as text[]))",
        project=project,
        users=found,
    )


def properties(project: UUID, user: str) -> dict[str, str]:
    return dict(
        one("select properties from revenue.app_users where project_id = :p and user_id = :u", p=project, u=user)
    )


def add_app(project: UUID | None = None, **more: object) -> UUID:
    if project is None:
        project = add("projects", team_id=add("teams", name="Team"), name="Project")
    return add("apps", project_id=project, name="App", **more)


def add_partition(table: str, month: Month) -> str:
    """A partition, as somebody made it long ago."""
    begin, end = month.begin, month.later(1).begin
    execute(
        f"create table revenue.{table}_{month} partition of revenue.{table} for values from ('{begin}') to ('{end}')"
    )
    return f"{table}_{month}"


def add_partitions(months: Iterable[Month], tables: Iterable[str] = EVENT_TABLES) -> list[str]:
    return [add_partition(table, month) for month in months for table in tables]


_EXTRA = {
    "events": ("message", "'m' || n || repeat('x', :width)"),
    "metric_events": ("metric_slug, phase", "'slug', 'start'"),
    "funnel_events": ("step", "'step'"),
}


def add_events(
    app: UUID, number: int, *, at: datetime, table: str = "events", every: float = 1.0, width: int = 0
) -> None:
    """So many events, one after another."""
    names, values = _EXTRA[table]
    execute(
        f"insert into revenue.{table} (timestamp, app_id, {names}) "
        f"select cast(:at as timestamptz) + n * make_interval(secs => :every), :app, {values} "
        "from generate_series(0, :number - 1) n",
        at=at,
        app=app,
        every=every,
        number=number,
        **({"width": width} if table == "events" else {}),
    )


def tables() -> list[str]:
    """The partitions there are."""
    return [
        str(row[0])
        for row in rows(
            "select c.relname from pg_inherits join pg_class c on c.oid = inhrelid "
            "join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'revenue' and c.relkind = 'r' order by 1"
        )
    ]
