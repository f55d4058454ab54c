"""A RabbitMQ of the tests' own: Debian's package in a temporary folder, everything on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import psutil  # type: ignore[import-untyped] # ships no types
import pytest

from tests.support import eventually, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

# Debian's /usr/sbin/rabbitmq-server changes to the system's user and folders; this is the program itself.
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
_NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"  # the cores are wanted by others
_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
listeners.ssl.1 = 127.0.0.1:{tls}
ssl_options.cacertfile = {folder}/cert.pem
ssl_options.certfile = {folder}/cert.pem
ssl_options.keyfile = {folder}/key.pem
log.console = true
log.console.level = warning
log.file = false
"""


class RabbitServer:
    """The server and its port mapper; `start` after `kill` finds the same data.

    Args:
        folder: For its data, its cookie and its log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.amqp, self.tls, self._dist, self._mapper_port = _free_ports(4)
        self._mapper: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        (folder / "home").mkdir()
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(_CONFIG.format(amqp=self.amqp, tls=self.tls, folder=folder))
        _make_certificate(folder)

    @property
    def url(self) -> str:
        """Without TLS."""
        return f"amqp://guest:guest@127.0.0.1:{self.amqp}/"

    @property
    def tls_url(self) -> str:
        """With TLS and this server's own certificate."""
        options = f"ssl_options={{'ca_certs':'{self.folder}/cert.pem'}}"
        return f"amqps://guest:guest@127.0.0.1:{self.tls}/?{options}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        if self._mapper is None:  # or the server would start one that outlives it
            epmd = shutil.which("epmd") or missing("epmd of Erlang")
            arguments = [epmd, "-address", "127.0.0.1", "-port", str(self._mapper_port)]
            self._mapper = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [SCRIPTS / "rabbitmq-server"],
                env=self._environment,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        eventually(self._answers, 90, every=0.1, what=f"RabbitMQ to start; see {self.folder}/log")

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "HOME": str(self.folder / "home"),
            "RABBITMQ_NODENAME": f"callboard{self.amqp}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_LOOPBACK} {_NO_SPINNING}",
            "RABBITMQ_CTL_ERL_ARGS": _LOOPBACK,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except pika.exceptions.AMQPError:
            return False
        return True

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` answers."""
        done = subprocess.run(
            [SCRIPTS / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def kill(self) -> None:
        """End it at once, as a power cut does to a process."""
        if self._server is not None:
            parent = psutil.Process(self._server.pid)
            family = [parent, *parent.children(recursive=True)]
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            psutil.wait_procs(family, timeout=10)
            self._server = None

    def close(self) -> None:
        """End it and the port mapper."""
        self.kill()
        if self._mapper is not None:
            self._mapper.terminate()
            self._mapper.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _make_certificate(folder: Path) -> None:
    openssl = shutil.which("openssl") or missing("openssl")
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *subject]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """The RabbitMQ of this session; tests keep apart by their namespaces."""
    if not (SCRIPTS / "rabbitmq-server").exists():
        missing("rabbitmq-server (Debian: apt-get install rabbitmq-server)")
    with closing(RabbitServer(tmp_path_factory.mktemp("rabbitmq"))) as server:
        server.start()
        yield server
