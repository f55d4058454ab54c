"""The list of pages beside every page: those that whoever looks may open, with what is open there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from callboard.accounts.permissions import Permission, may

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from callboard.accounts import Principal

_MOST = 1000
# Both from an index of what is open, and no further than a number says anything.
_OPEN = text(f"""
select (select count(*) from (select from board.issues where status <> 'resolved'
          and (silenced_until is null or silenced_until < now()) limit {_MOST}) i) as issues,
       (select count(*) from (select from board.dead_letters where state = 'open' limit {_MOST}) d) as letters
""")  # noqa: S608 - a constant
_TEAMS = text("select id, slug, name from board.teams where id = any(:ids) and deleted_at is null order by name")


@dataclass(frozen=True, slots=True)
class Item:
    """One page."""

    href: str
    label: str
    icon: str
    here: bool
    count: str = ""
    bad: bool = False


_BOARD = (
    ("/admin/background_jobs", "Dashboard", "dashboard"),
    ("/admin/background_jobs/failures", "Failures", "failure"),
    ("/admin/issues", "Issues", "issue"),
    ("/admin/dead_letters", "Dead letters", "letter"),
)
_ENGINE = (
    ("/admin/jobs", "Jobs", "job"),
    ("/admin/schedules", "Schedules", "schedule"),
    ("/admin/queues", "Queues", "queue"),
    ("/admin/workers", "Workers", "worker"),
)


def navigation(path: str, ledger: Connection, me: Principal) -> list[tuple[str, list[Item]]]:
    """Groups of pages."""
    groups = []
    if may(me, Permission.BOARD_READ):
        counts = _counts(ledger.execute(_OPEN).mappings().one())
        groups += [
            ("Board", _items(_BOARD, path, counts)),
            ("Engine", _items(_ENGINE, path, counts)),
        ]
    teams = ledger.execute(_TEAMS, {"ids": list(me.team_roles)}).mappings().all() if me.team_roles else []
    if teams:
        groups.append(("Teams", _items([(f"/teams/{team['slug']}", team["name"], "team") for team in teams], path, {})))
    return [*groups, ("People", _items(_people(me), path, {}))]


def _people(me: Principal) -> list[tuple[str, str, str]]:
    pages = [("/admin/audit", "Audit", "audit")] if may(me, Permission.AUDIT_READ) else []
    if may(me, Permission.ACCOUNTS_READ):
        pages.append(("/admin/accounts", "Accounts", "people"))
    return [*pages, ("/admin/keys", "Keys", "key"), ("/account", "Your account", "person")]


def _items(pages: Any, path: str, counts: dict[str, str]) -> list[Item]:  # noqa: ANN401 - tuples of three texts
    chosen = max((href for href, _, _ in pages if _within(path, href)), key=len, default="")
    return [
        Item(href, label, icon, href == chosen, counts.get(href, ""), bad=href in counts) for href, label, icon in pages
    ]


def _within(path: str, href: str) -> bool:
    return path == href or path.startswith(href + "/")


def list_of(path: str) -> tuple[str, str] | None:
    """The page that lists what somebody looked for at a path, with its name; None where there is no such list."""
    pages = [(href, label) for href, label, _ in (*_BOARD, *_ENGINE) if path.startswith(href + "/")]
    return max(pages, default=None)


def _counts(row: RowMapping) -> dict[str, str]:
    found = {"/admin/issues": row["issues"], "/admin/dead_letters": row["letters"]}
    return {href: f"{_MOST - 1}+" if count >= _MOST else str(count) for href, count in found.items() if count}
