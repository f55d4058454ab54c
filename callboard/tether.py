"""Child processes that end with their parent, however the parent ends, even by `kill -9`.

Linux tells a child of its parent's death by the signal that the child asked for with prctl(2). The child must ask by
itself, after it has become the user it runs as and before it becomes the wanted program. This file is therefore two
things: `tether()`, which prefixes a command, and the prefix itself, run as a script that asks and then execs. (The
`preexec_fn` of `subprocess` could ask too, but it may deadlock in a process with threads.)

Limits: the signal comes when the *thread* that started the child ends, so start children from a thread that outlives
them, as the main one does. On systems without prctl the command runs unprefixed, and a `kill -9` of the parent leaves
its children behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# Only for annotations: the prefix runs before every child, so that it imports no more than it needs.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_CANNOT_START = 127


def tether(argv: Sequence[str], *, death_signal: int = signal.SIGTERM, drop: str = "") -> list[str]:
    """The command that runs `argv` as a child which gets `death_signal` when this process is gone.

    Args:
        argv: The command, its first word a program on the PATH or a path.
        death_signal: What the child gets when its parent dies.
        drop: For root only, whom to become first: `account:UID:GID`, or `namespace:UID:GID` to be called that
            inside a user namespace of its own, without any capability outside, while files still belong to root.
    """
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal)), drop, *argv]


def _become(drop: str) -> None:
    kind, uid, gid = drop.split(":")
    os.setgroups([])
    if kind == "account":
        os.setgid(int(gid))
        os.setuid(int(uid))
    else:
        _enter_namespace(int(uid), int(gid))


def _enter_namespace(uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 (pathlib is slow to import)
            file.write(text)


def _call(function: str, *args: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _run(parent: int, death_signal: int, drop: str, argv: list[str]) -> None:
    if drop:
        _become(drop)  # first: a change of user makes the kernel forget the death signal
    _call("prctl", _PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and what is ignored survives exec
        signal.signal(number, signal.SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606 (the caller's own command, no shell)


def _main() -> None:
    parent, death_signal, drop, *argv = sys.argv[1:]
    try:
        _run(int(parent), int(death_signal), drop, argv)
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error}\n")
        sys.exit(_CANNOT_START)


if __name__ == "__main__":
    _main()
