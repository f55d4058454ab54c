"""docs/reference/permissions.md: who may do what, from the table that decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.accounts._attempts import MOST_BY_EMAIL, MOST_BY_IP, WINDOW_SECONDS
from callboard.accounts._passwords import LEAST_CHARACTERS, MOST_CHARACTERS
from callboard.accounts.permissions import GRANTS, SCOPES, Grant, Permission
from callboard.accounts.sign_in import LEAST_TOKEN, MOST_DAYS, MOST_MINUTES, MOST_TOKEN
from callboard.ledger.account_tables import BOARD_ROLES, TEAM_ROLES
from cli._markdown import page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTRODUCTION = (
    "A person has at most one role on the whole board, and one in each team they are in; what either gives, they may. "
    "Whoever has no role on the board sees their teams only: the system's own runs and other teams' runs answer as if "
    "they were not there. Roles are read anew with every request, so a change holds at once. The command line asks "
    "for no role: whoever can reach the ledger's database may do everything, and the audit tells who it was."
)
_KEYS = (
    "A key may do what its owner may at that moment, of that only what its scopes name, and, if it is a team's key, "
    "only in that team, whatever its owner may elsewhere. It does nothing while its owner is disabled or its team is "
    "deleted, nor after it expired or was revoked. What no scope gives needs a person who is signed in: a key makes no "
    "keys, and changes no password. Scopes do not contain each other: a key with `jobs:write` alone triggers, and "
    "reads nothing."
)
_SIGNING_IN = (
    f"A password has {LEAST_CHARACTERS} to {MOST_CHARACTERS:,} characters and is kept as its argon2id hash; setting "
    "one ends all sign-ins of its user. A link signs in once, within its minutes, "
    f"{MOST_MINUTES:,} at most (`callboard users link`). A sign-in ends after `CALLBOARD_CONSOLE_SESSION_HOURS` "
    f"without use, and after {MOST_DAYS} days in any case. {MOST_BY_EMAIL} failures of one address, or {MOST_BY_IP} "
    f"from one place, within {WINDOW_SECONDS / 60:.0f} minutes close the door until the window has moved on; an "
    "address that nobody has is answered with the same words, after the same work. `CALLBOARD_CONSOLE_TOKEN` is a link "
    f"for the local operator, of {LEAST_TOKEN} to {MOST_TOKEN} characters; once used, it stays used."
)


def permissions_page() -> str:
    """The text of the page."""
    head = ["Permission", "Means", *(f"board {role}" for role in BOARD_ROLES), *(f"team {role}" for role in TEAM_ROLES)]
    parts = [
        _INTRODUCTION,
        "## Roles",
        table(head, _people()),
        "A team's role counts in that team. The last admin of the board and the last owner of a team stay.",
        "## Keys",
        _KEYS,
        table(["Permission", *(f"`{scope}`" for scope in SCOPES)], _scopes()),
        "## Signing in",
        _SIGNING_IN,
    ]
    return page("Permissions", "python -m cli.docs", parts)


def _people() -> Iterator[list[str]]:
    for permission in Permission:
        grant = GRANTS[permission]
        board = [_mark(role in grant.board or grant.everyone) for role in BOARD_ROLES]
        team = [_mark(role in grant.team or grant.everyone) for role in TEAM_ROLES]
        yield [f"`{permission.name}`", permission.value, *board, *team]


def _scopes() -> Iterator[list[str]]:
    for permission in Permission:
        grant: Grant = GRANTS[permission]
        yield [f"`{permission.name}`", *(_mark(scope == grant.scope) for scope in SCOPES)]


def _mark(given: bool) -> str:  # noqa: FBT001 - a cell of the table
    return "yes" if given else ""
