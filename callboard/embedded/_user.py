"""Whom the servers run as when we are root, since Postgres refuses to run as root.

1. The owner of the folder, if that is an ordinary user: `sudo make up` in a checkout of theirs.
2. Ourselves inside a user namespace, where we go by another user's id and hold no capability outside. Nothing on the
   machine changes: no account is added, and folders that only root may enter, such as /root, stay closed.
3. Where namespaces are forbidden (most containers), a system account made for it. Its way to the folder and to the
   program must be open to it; we say which folder is not, and open none by ourselves.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callboard.embedded._errors import EmbeddedError
from callboard.tether import tether

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNT = "callboard"
_TRUE = "/bin/true"


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user of the server processes: `uid` and `gid` own the files, `drop` is for `tether()`."""

    uid: int
    gid: int
    drop: str = ""

    def give(self, folder: Path) -> None:
        """Make the folder and all in it this user's, unless it is already, and let the user pass the folder above."""
        if folder.stat().st_uid == self.uid:
            return
        above = folder.parent
        if not self._may_enter(above) and above.stat().st_uid == os.geteuid():
            os.chown(above, -1, self.gid)
            above.chmod(above.stat().st_mode | stat.S_IXGRP)
        os.chown(folder, self.uid, self.gid)
        for parent, folders, files in os.walk(folder):
            for name in folders + files:
                os.chown(os.path.join(parent, name), self.uid, self.gid, follow_symlinks=False)  # noqa: PTH118 (os.walk)

    def mend(self, *paths: Path) -> str:
        """What would keep servers that need these paths from running as this user, and what to do; else empty."""
        folders = (folder for path in paths for folder in reversed(path.parents))
        closed = next((folder for folder in folders if not self._may_enter(folder)), None)
        if closed is not None:
            return (
                f"The servers run as user id {self.uid}, which may not enter {closed}: run `chmod o+x {closed}`, or "
                "install Callboard and set CALLBOARD_HOME where that user may go, or run as an ordinary user."
            )
        if all(entry.pw_uid != self.uid for entry in pwd.getpwall()):
            return f"The user id {self.uid} has no entry in /etc/passwd, and Postgres wants one: add it."
        return ""

    def _may_enter(self, folder: Path) -> bool:
        status = folder.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return bool(status.st_mode >> shift & 1)


def server_user(home: Path) -> ServerUser:
    """Whom to run the servers of `home` as.

    Raises:
        EmbeddedError: We are root, and there is no way to be anybody else.
    """
    if os.geteuid() != 0:
        return ServerUser(os.geteuid(), os.getegid())
    owner = home.stat()
    if owner.st_uid != 0:
        return _account(owner.st_uid, owner.st_gid)
    return _in_namespace() or _made_account()


def _account(uid: int, gid: int) -> ServerUser:
    return ServerUser(uid, gid, f"account:{uid}:{gid}")


def _in_namespace() -> ServerUser | None:
    """Any id but 0 will do, as long as it has a name: initdb looks it up."""
    named = next((entry for entry in pwd.getpwall() if entry.pw_uid), None)
    if named is None:
        return None
    user = ServerUser(0, 0, f"namespace:{named.pw_uid}:{named.pw_gid}")
    probe = subprocess.run(  # noqa: S603 (our own prefix)
        tether([_TRUE], drop=user.drop), check=False, capture_output=True
    )
    return user if probe.returncode == 0 else None


def _made_account() -> ServerUser:
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        _add_account()
        entry = pwd.getpwnam(ACCOUNT)
    return _account(entry.pw_uid, entry.pw_gid)


def _add_account() -> None:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 (a constant)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise EmbeddedError(
            f"Postgres does not run as root, and the account {ACCOUNT!r} for it cannot be made ({reason}). Add that "
            "account, or run as an ordinary user, or set CALLBOARD_DATABASE_URL and CALLBOARD_BROKER_URL."
        ) from error
