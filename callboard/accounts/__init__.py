"""People, teams, keys, and what each may do.

Here is what is asked: who signs in (`sign_in`), whom a key stands for (`keys.find`), what they may (`permissions`),
and who and what there is (`users`, `teams`, `projects`, `keys`). Changes go through `callboard.operations.accounts`,
which opens the transaction and writes the audit row. Passwords need argon2-cffi, of the extra `console`; all else
works without.
"""

from __future__ import annotations

from callboard.accounts import keys, permissions, projects, sign_in, teams, users
from callboard.accounts._prune import prune
from callboard.accounts.permissions import Permission, may, require
from callboard.accounts.principal import Principal
from callboard.accounts.sign_in import Session, local_operator

__all__ = [
    "Permission",
    "Principal",
    "Session",
    "keys",
    "local_operator",
    "may",
    "permissions",
    "projects",
    "prune",
    "require",
    "sign_in",
    "teams",
    "users",
]
