"""A Prometheus of the tests, on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from tests.support import eventually, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def prometheus(data: Path) -> Iterator[str]:
    """Its address; it scrapes nothing, and answers from the data it was given."""
    if shutil.which("prometheus") is None:
        missing("prometheus")
    config = data.parent / "prometheus.yml"
    config.write_text("global: {}\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    options = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
    log = data.parent / "prometheus.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["prometheus", *options, "--storage.tsdb.retention.time=10y", "--enable-feature=exemplar-storage"],
            stdout=output,
            stderr=output,
        )
        try:
            eventually(lambda: _ready(f"http://{address}", process), 20, what=f"Prometheus; its log is {log}")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(10)


def _ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "Prometheus ended"
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False


def ask(
    client: httpx.Client, expr: str, start: float, end: float, *, step: int = 60, instant: bool = False
) -> list[Any]:
    """The series of the answer.

    Raises:
        AssertionError: Prometheus refused the query; with its reason.
    """
    if instant:
        reply = client.get("/api/v1/query", params={"query": expr, "time": end}).json()
    else:
        given: dict[str, str | float] = {"query": expr, "start": start, "end": end, "step": step}
        reply = client.get("/api/v1/query_range", params=given).json()
    assert reply["status"] == "success", f"{reply.get('error')}: {expr}"
    result: list[Any] = reply["data"]["result"]
    return result
