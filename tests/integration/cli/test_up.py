"""`callboard up` and `callboard smoke`, as people start them: in processes of their own, with embedded servers."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil  # type: ignore[import-untyped] # ships no types
import pytest
import redis

from callboard.tether import tether
from tests.integration.cli.conftest import ROOT
from tests.support import alive, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long

LINK = re.compile(r"open (http://127\.0\.0\.1:\d+)/sign-in/link\?token=(\S{32}) ")
READY = re.compile(r"ready after (\d+(?:\.\d)?) s.* see (http://127\.0\.0\.1:\d+/metrics)")
# Called daemon in a user namespace of its own, without any of root's powers; only the files are still root's.
ORDINARY = "namespace:1:1"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for one board that every user may reach; pytest's own is root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="callboard-up-"))
    folder.chmod(0o755)
    yield folder / "home"
    shutil.rmtree(folder)


class Up:
    """One `callboard up` and what it says."""

    def __init__(self, home: Path, *, terminal: int | None = None, drop: str = "", **variables: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
        self.environment = kept | {"CALLBOARD_HOME": str(home), "PYTHONPATH": str(ROOT), "HOME": str(home.parent)}
        self.environment |= {"CALLBOARD_EXPORTER_PORT": "0", "CALLBOARD_CONSOLE_PORT": "0"} | variables
        self.log = home.with_name(f"{home.name}.{time.monotonic_ns()}.txt")
        with self.log.open("wb") as log:
            output = terminal or log
            self.process = subprocess.Popen(
                tether([sys.executable, "-m", "cli", "up"], drop=drop),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text()

    def ready(self) -> tuple[float, str]:
        """How long it took to be ready, and where its metrics are."""

        def match() -> re.Match[str]:
            assert self.process.poll() is None, self.said()
            found = READY.search(self.said())
            assert found is not None, self.said()
            return found

        found = eventually(match, 60, what="the board to be ready")
        return float(found[1]), found[2]

    def call(self, *argv: str) -> Any:  # noqa: ANN401 - JSON
        """What another command on this board prints as JSON."""
        at = next((place for place, word in enumerate(argv) if word == "--"), len(argv))
        command = [sys.executable, "-m", "cli", *argv[:at], "--json", *argv[at:]]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, check=False)
        return json.loads(done.stdout or b"[]")

    def call_for_text(self, *argv: str) -> str:
        """What another command on this board prints."""
        command = [sys.executable, "-m", "cli", *argv]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True
        ).stdout

    def family(self) -> list[psutil.Process]:
        """All it has started, down to the last server."""
        children: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return children

    def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Stop it; the seconds that took."""
        family, began = self.family(), time.monotonic()
        self.process.send_signal(how)
        assert self.process.wait(10) == 0, self.said()
        seconds = time.monotonic() - began
        assert not any(alive(each.pid) for each in family)
        return seconds

    def kill(self) -> None:
        """SIGKILL: its children must end without its help."""
        family = self.family()
        self.process.kill()
        self.process.wait(10)
        eventually(lambda: not any(alive(each.pid) for each in family), 12, what="the end of its children")


@pytest.fixture
def ups() -> Iterator[list[Up]]:
    """What is listed here is killed after the test, whatever happened."""
    started: list[Up] = []
    yield started
    for up in started:
        if up.process.poll() is None:
            up.kill()


def left_in(home: Path) -> set[str]:
    return {path.name for path in home.rglob("*") if path.is_socket() or path.suffix in (".pid", ".lock")}


def test_up_runs_every_job_survives_a_kill_and_a_taken_port_and_leaves_nothing(home: Path, ups: list[Up]) -> None:
    ups.append(Up(home))
    seconds, _ = ups[0].ready()
    assert seconds < 20
    assert "no session files on this machine: sample sessions are used" in ups[0].said()
    assert "a sample company is used" in ups[0].said()
    jobs = {job["job"] for job in ups[0].call("jobs") if job["cadence"]}
    done = eventually(lambda: _completed(ups[0], jobs), 40, every=0.5, what="each recurring job to have completed once")
    assert done["collect_all"]["counts"]["messages_inserted"] == 1000
    second = Up(home)
    assert second.process.wait(20) == 1
    assert f"belong to process {ups[0].process.pid}" in second.said()
    assert second.said().count("\n") == 2, "the greeting and the error"
    _sign_in_once(ups[0])
    _mend_and_replay(ups[0])
    ups[0].kill()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        ups.append(Up(home, CALLBOARD_EXPORTER_PORT=str(taken), CALLBOARD_CONSOLE_PORT=str(taken)))
        _, url = ups[1].ready()
    assert f"port {taken} is taken: these metrics are on port" in ups[1].said()
    assert f"port {taken} is taken: the console is on port" in ups[1].said()
    assert f":{taken}/" not in url
    assert len(ups[1].call("runs", "--limit", "100")) >= len(jobs), "the runs of the first one are still there"
    assert ups[1].stop(signal.SIGINT) < 10
    assert left_in(home) == set()
    assert "stopped in" in ups[1].said()


def _sign_in_once(up: Up) -> None:
    found = eventually(lambda: LINK.search(up.said()), what="the link to be told")
    assert found is not None
    console, token = found[1], found[2]
    assert not any(token in " ".join(each.cmdline()) for each in up.family()), "everybody can read a command line"
    with httpx.Client(base_url=console, headers={"Origin": console}) as browser:
        assert browser.get("/healthz").text == "ok\n"
        assert browser.post("/sign-in/link", data={"token": token}).status_code == 303
        assert browser.get("/v1/me").json()["email"] == "operator@localhost"
        assert browser.post("/sign-in/link", data={"token": token}).status_code == 401
    assert up.call_for_text("console", "link").startswith(f"{console}/sign-in/link?token=")


def _mend_and_replay(up: Up) -> None:
    """As the screen says: the broken endpoint is mended, and gets what it missed."""
    missed = len(up.call("dead-letters", "list", "--limit", "500", "job:webhook.deliver"))
    assert missed > 0
    found = re.search(r"mend it: curl -d '(\S+ \S+)' (\S+)", up.said())
    assert found is not None
    assert httpx.post(found[2], content=found[1]).is_success
    assert f"{missed} replayed, 0 refused" in up.call_for_text("dead-letters", "replay", "--yes", "job:webhook.deliver")
    webhooks = found[2].removesuffix("endpoints") + "webhooks/billing"
    eventually(lambda: len(httpx.get(webhooks).json()) >= missed, 30, every=0.2, what="what was missed to arrive")


def _completed(up: Up, jobs: set[str]) -> dict[str, Any]:
    asked = up.call("runs", "--limit", "300", "state:completed", "--", "-job:webhook.*")
    done = {run["job"]: run for run in asked} | {"webhook.poll": {}}  # of which there are many: the oldest of each
    assert set(done) >= jobs, f"only {sorted(done)} completed"
    return done


def test_the_parts_that_die_come_back(home: Path, ups: list[Up]) -> None:
    ups.append(Up(home))
    ups[0].ready()
    victims = [each for each in ups[0].family() if each.name() == "valkey-server" or "worker-process" in each.cmdline()]
    postgres = next(each for each in ups[0].family() if each.name() == "postgres")
    assert len(victims) == 3
    for victim in (*victims, postgres):
        victim.kill()

    def whole() -> bool:
        assert ups[0].process.poll() is None, ups[0].said()
        names = [each.name() for each in ups[0].family() if alive(each.pid)]
        return {"postgres", "valkey-server"} <= set(names) and len(
            [row for row in ups[0].call("workers") if alive(row["pid"])]
        ) == 2

    eventually(whole, 40, every=0.5, what="the servers and the workers to be back")
    assert "worker-1 was killed by SIGKILL and is started again" in ups[0].said()
    assert ups[0].stop() < 10


def test_other_servers_are_used_and_nothing_embedded_starts(
    home: Path, ups: list[Up], postgres_url: str, broker_url: str
) -> None:
    ups.append(Up(home, CALLBOARD_DATABASE_URL=postgres_url, CALLBOARD_BROKER_URL=broker_url))
    ups[0].ready()
    assert "nothing embedded starts" in ups[0].said()
    assert {each.name() for each in ups[0].family()} & {"postgres", "valkey-server"} == set()
    ups[0].stop()
    with closing(redis.Redis.from_url(broker_url)) as client:
        assert client.ping(), "servers that are not ours are left running"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_needs_nothing_else(home: Path, ups: list[Up]) -> None:
    if subprocess.run(tether(["true"], drop=ORDINARY), check=False, capture_output=True).returncode != 0:
        pytest.skip("user namespaces are forbidden on this machine")
    ups.append(Up(home, drop=ORDINARY))
    ups[0].ready()
    for each in ups[0].family():
        assert "CapEff:\t0000000000000000" in Path(f"/proc/{each.pid}/status").read_text()
    assert ups[0].stop() < 10


def test_on_a_terminal_it_is_one_screen_of_24_lines_and_ctrl_c_stops_it(home: Path, ups: list[Up]) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    ups.append(Up(home, terminal=slave, TERM="xterm", COLUMNS="80", LINES="24"))
    os.close(slave)
    shown = _read_until(master, rb"ready.*index_pending.*completed", 60)
    frames = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode(errors="replace").split("callboard  ready")
    assert len(frames) > 1
    lines = frames[-1].split("\r\n")
    assert len(lines) <= 24
    assert max(map(len, lines[1:])) <= 80
    assert shown.count(b"\x1b[2J") <= 1, "it redraws in place, it does not clear"
    ups[0].process.send_signal(signal.SIGINT)
    closing_words = _read_until(master, rb"stopped in", 15)
    assert b"\x1b[?1049l" in shown + closing_words, "the terminal is given back"
    assert ups[0].process.wait(10) == 0
    os.close(master)


def _read_until(terminal: int, pattern: bytes, seconds: float) -> bytes:
    """What the terminal shows until the pattern has come."""
    shown, deadline = b"", time.monotonic() + seconds
    while not re.search(pattern, shown, re.DOTALL):
        assert time.monotonic() < deadline, shown[-3000:].decode(errors="replace")
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536)
    return shown


def test_smoke_runs_every_job_and_leaves_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "CALLBOARD_WORKER_THREADS": "3", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cli", "smoke", "--json"]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert time.monotonic() - began < 60
    verdicts = {verdict["job"]: verdict for verdict in json.loads(done.stdout)}
    assert {job: verdict["error"] for job, verdict in verdicts.items() if verdict["state"] != "completed"} == {}
    assert done.returncode == 0
    assert verdicts["collect_all"]["counts"]["messages_inserted"] == 1000
    assert verdicts["index_pending"]["counts"]["indexed_messages"] > 0
    assert list(tmp_path.iterdir()) == []


def test_smoke_says_which_job_failed_and_keeps_the_folder_if_asked(tmp_path: Path) -> None:
    environment = os.environ | {
        "TMPDIR": str(tmp_path),
        "CALLBOARD_ACTORS": "tests.integration.cli.smoke_jobs",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "cli", "smoke", "--keep"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "failed" in rows["crooked"]
    assert "ValueError: bent" in rows["crooked"]
    assert "completed" in rows["straight"]
    assert "not run" in rows["asking"]
    (kept,) = tmp_path.iterdir()
    assert (kept / "worker.log").exists()
