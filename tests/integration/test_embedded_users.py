"""Whom the embedded servers run as. Postgres refuses root, and folders may be closed to everybody else."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped] # ships no types
import pytest

from callboard.embedded import EmbeddedError, EmbeddedServers
from callboard.embedded._programs import postgres_program
from callboard.embedded._user import ACCOUNT, ServerUser
from callboard.tether import tether

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

NOBODY = pwd.getpwnam("nobody")
AS_DAEMON = "namespace:1:1"

# What an owner of the servers does: start them twice, show who they run as, stop them.
OWNER = """
import os, sys
from pathlib import Path
import psutil
from callboard.embedded import EmbeddedServers, read_endpoints
home = Path(sys.argv[1])
for _ in range(2):
    with EmbeddedServers(home, broker_port=0) as servers:
        assert read_endpoints(home) == servers.start()
        print(*sorted(f"{child.name()}:{child.uids().real}" for child in psutil.Process().children()))
"""

# Docker's default profile in one rule: unshare(2) answers "not permitted".
NO_NAMESPACES = """
import ctypes, platform
class Rule(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint)]
class Rules(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.POINTER(Rule))]
unshare = {"x86_64": 272, "aarch64": 97}[platform.machine()]
load, forbid, allow = Rule(0x20, 0, 0, 0), Rule(0x06, 0, 0, 0x50001), Rule(0x06, 0, 0, 0x7FFF0000)
rules = (Rule * 4)(load, Rule(0x15, 0, 1, unshare), forbid, allow)
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Rules(4, rules))) == 0
"""


def namespaces_work() -> bool:
    return subprocess.run(tether(["true"], drop=AS_DAEMON), check=False, capture_output=True).returncode == 0


def open_to_all(path: str) -> bool:
    return ServerUser(NOBODY.pw_uid, NOBODY.pw_gid).mend(Path(path)) == ""


needs_namespaces = pytest.mark.skipif(not namespaces_work(), reason="user namespaces are forbidden on this machine")
needs_open_programs = pytest.mark.skipif(
    not open_to_all(postgres_program("postgres")), reason="the virtual environment is closed to other users"
)
needs_open_python = pytest.mark.skipif(
    not open_to_all(str(Path(sys.executable).resolve())), reason="this Python is closed to other users"
)


def own(home: Path, *, drop: str = "", before: str = "", path: str | None = None) -> subprocess.CompletedProcess[str]:
    command = tether([sys.executable, "-c", before + OWNER, str(home)], drop=drop)
    env = os.environ | {"PATH": path or os.environ["PATH"]}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own is root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="callboard-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def no_account() -> Iterator[None]:
    """The account of the servers is not there before, nor after."""
    if any(entry.pw_name == ACCOUNT for entry in pwd.getpwall()):
        pytest.skip(f"this machine has the account {ACCOUNT!r}, maybe in use")
    yield
    if any(entry.pw_name == ACCOUNT for entry in pwd.getpwall()):
        subprocess.run(["userdel", ACCOUNT], check=True)


@needs_namespaces
def test_root_adds_no_account_opens_no_folder_and_hands_on_no_power(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    accounts, others = Path("/etc/passwd").read_bytes(), set(psutil.Process().children())
    with EmbeddedServers(closed / "home", broker_port=0):
        states = [
            Path(f"/proc/{server.pid}/status").read_text() for server in set(psutil.Process().children()) - others
        ]
    assert [state.count("CapEff:\t0000000000000000") for state in states] == [1, 1]
    assert Path("/etc/passwd").read_bytes() == accounts
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@needs_namespaces
def test_an_ordinary_user_runs_the_servers_as_itself(tmp_path: Path) -> None:
    done = own(tmp_path / "home", drop=AS_DAEMON)
    assert (done.returncode, done.stdout) == (0, "postgres:1 valkey-server:1\n" * 2), done.stderr


@needs_open_programs
@needs_open_python
def test_another_account_runs_the_servers_as_itself(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY.pw_uid, NOBODY.pw_gid)
    done = own(open_folder / "home", drop=f"account:{NOBODY.pw_uid}:{NOBODY.pw_gid}")
    line = f"postgres:{NOBODY.pw_uid} valkey-server:{NOBODY.pw_uid}\n"
    assert (done.returncode, done.stdout) == (0, 2 * line), done.stderr


@needs_open_programs
def test_root_runs_the_servers_of_an_ordinary_users_folder_as_that_user(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    done = own(home)
    line = f"postgres:{NOBODY.pw_uid} valkey-server:{NOBODY.pw_uid}\n"
    assert (done.returncode, done.stdout) == (0, 2 * line), done.stderr
    assert {(home / name).stat().st_uid for name in ("postgres", "valkey")} == {NOBODY.pw_uid}


@needs_open_programs
@pytest.mark.usefixtures("no_account")
def test_without_namespaces_an_account_is_made(open_folder: Path) -> None:
    home = open_folder / "home"
    first = own(home)
    assert (first.returncode, first.stderr) == (0, "")
    second = own(home, before=NO_NAMESPACES)
    uid = pwd.getpwnam(ACCOUNT).pw_uid
    assert (second.returncode, second.stdout) == (0, f"postgres:{uid} valkey-server:{uid}\n" * 2), second.stderr
    assert stat.S_IMODE(home.stat().st_mode) & 0o007 == 0
    third = own(home)
    assert (third.returncode, third.stderr) == (0, ""), "back in a namespace, with the account's files"


@pytest.mark.usefixtures("no_account")
def test_without_namespaces_and_useradd_the_mend_is_named(open_folder: Path) -> None:
    done = own(open_folder / "home", before=NO_NAMESPACES, path="/nonexistent")
    assert done.returncode == 1
    assert "the account 'callboard' for it cannot be made" in done.stderr
    assert "or run as an ordinary user" in done.stderr


@pytest.mark.usefixtures("no_account")
def test_without_namespaces_a_closed_folder_is_named_and_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    done = own(closed / "home", before=NO_NAMESPACES)
    assert done.returncode == 1
    assert "run `chmod o+x " in done.stderr
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@needs_open_programs
def test_a_user_without_a_name_is_told_so(open_folder: Path) -> None:
    nameless = next(uid for uid in range(54321, 65000) if uid not in {entry.pw_uid for entry in pwd.getpwall()})
    os.chown(open_folder, nameless, nameless)
    with pytest.raises(EmbeddedError, match="has no entry in /etc/passwd"):
        EmbeddedServers(open_folder, broker_port=0).start()
