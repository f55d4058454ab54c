"""Names of people, keys, teams and projects in place of the ids that triggers and the audit hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

# They are few; one look serves a whole page.
_NAMES = text("""
select 'manual:user:' || id as who, coalesce(nullif(name, ''), email) as name from board.users
union all select 'manual:api_key:' || id, 'key ' || name from board.api_keys
union all select 'team:' || id, name from board.teams union all select 'project:' || id, name from board.projects
""")
_SYSTEM = {"schedule": "its schedule", "cli": "command line", "send": "code that sent it"}
_PREFIXES = (("cli:", ""), ("replay:", "replay of letter "), ("retry:", "retry of "))


class People:
    """Turns `manual:user:<id>`, `team:<id>` and their like into a name. Asks the ledger only if a page shows one."""

    def __init__(self, ledger: Connection) -> None:
        self._ledger = ledger
        self._names: dict[str, str] | None = None

    def __call__(self, who: str | None) -> str:
        """The name to show; what is not known is shown as it is."""
        if not who:
            return "\N{EN DASH}"
        if who.startswith(("manual:", "team:", "project:")):
            return self._known().get(who, who)
        if who in _SYSTEM:
            return _SYSTEM[who]
        found = next(((prefix, told) for prefix, told in _PREFIXES if who.startswith(prefix)), None)
        return who if found is None else found[1] + who.removeprefix(found[0])

    def _known(self) -> dict[str, str]:
        if self._names is None:
            self._names = {row.who: row.name for row in self._ledger.execute(_NAMES)}
        return self._names
