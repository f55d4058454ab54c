"""A whole installation on loopback: workers, scheduler, exporter, Prometheus, Alertmanager, and who gets the pages.

The rules, routes and inhibitions are the real ones. Only their times are short: what has to last for a minute has to
last for three seconds here, and a notification waits for one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import httpx

from observability.rules.build import files
from observability.rules.config import ObservabilityConfig
from sandbox.alert_receiver import AlertReceiver
from sandbox.dead_man import DeadMan
from tests.chaos.stage import Stage
from tests.observability.programs import program
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from pathlib import Path

_SETTINGS = {
    "lease_seconds": 3,
    "heartbeat_seconds": 1,
    "recovery_seconds": 1,
    "canary_seconds": 2,
    "workers_expected": 2,
}
_SHORT = {"scrape_interval": "1s", "scheduler_silence_seconds": "8", "canary_age_seconds": "20"}


class Site:
    """A context manager; everything is scraped and, unless `calm` is False, nothing fires when it is entered."""

    def __init__(self, folder: Path, *, calm: bool = True, **settings: object) -> None:
        self._folder = folder
        self._begins_calm = calm
        self._settings = {**_SETTINGS, **settings}
        self._resources = ExitStack()
        self._ports = {name: free_port() for name in ("worker", "scheduler", "exporter", "prometheus", "alertmanager")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _open(self) -> None:
        enter = self._resources.enter_context
        ports = {f"{name}_metrics_port": self._ports[name] for name in ("worker", "scheduler")}
        self.stage = enter(Stage(self._folder, {**self._settings, **ports, "exporter_port": self._ports["exporter"]}))
        self.receiver = enter(AlertReceiver())
        self.dead_man = enter(DeadMan(600))
        self._write_files()
        for name in ("scheduler", "worker", "exporter"):
            self.start(name)
        self.stage.await_workers(2)
        eventually(self._all_answer, 30, what="metrics of worker, scheduler and exporter")
        self._start_servers()
        if self._begins_calm:
            eventually(self.calm, 60, every=0.2, what="that nothing fires")

    def _write_files(self) -> None:
        at = {name: f"127.0.0.1:{port}" for name, port in self._ports.items()}
        config = ObservabilityConfig().changed(
            {
                **_SHORT,
                **{f"{name}_targets": address for name, address in at.items()},
                "page_webhook": f"{self.receiver.url}/alerts",
                "ticket_webhook": f"{self.receiver.url}/alerts",
                "heartbeat_webhook": f"{self.dead_man.url}/watchdog",
            }
        )
        for name, text in files(config).items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_hurried(name, text), encoding="utf-8")

    def start(self, name: str) -> None:
        """Start the workers, the scheduler or the exporter."""
        words = {"worker": ("worker", "-p", "2", "-t", "2")}.get(name, (name,))
        self._processes[name] = self.stage.fleet.start([sys.executable, "-m", "cli", *words], {})

    def kill(self, name: str) -> None:
        """SIGKILL one of them."""
        self.stage.fleet.kill(self._processes.pop(name))

    def stop(self, name: str) -> None:
        """SIGTERM one of them, and wait for its end."""
        self.stage.stop(self._processes.pop(name))

    def _all_answer(self) -> bool:
        try:
            for name in ("worker", "scheduler", "exporter"):
                self.scrape(name)
        except httpx.TransportError:
            return False
        return True

    def _start_servers(self) -> None:
        folder, ports = self._folder, self._ports
        self._run(
            program("prometheus-alertmanager"),
            f"--config.file={folder}/alertmanager/alertmanager.yml",
            f"--storage.path={folder}/alertmanager/data",
            f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
            "--cluster.listen-address=",
        )
        self._run(
            program("prometheus"),
            f"--config.file={folder}/prometheus/prometheus.yml",
            f"--storage.tsdb.path={folder}/prometheus/data",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            "--rules.alert.resend-delay=1s",
        )
        self.client = self._resources.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{ports['prometheus']}"))

    def _run(self, *words: str) -> None:
        output = self._resources.enter_context((self._folder / "servers.log").open("ab"))
        process = subprocess.Popen(words, stdout=output, stderr=output)
        self._resources.callback(process.wait, 10)
        self._resources.callback(process.terminate)

    def scrape(self, name: str) -> str:
        """What one of them serves now."""
        return httpx.get(f"http://127.0.0.1:{self._ports[name]}/metrics", timeout=5).text

    # What is seen

    def query(self, expr: str) -> list[Any]:
        """The series of an instant query; none while Prometheus does not answer."""
        try:
            found: list[Any] = self.client.get("/api/v1/query", params={"query": expr}).json()["data"]["result"]
        except (httpx.TransportError, ValueError):  # it starts
            return []
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire now, inhibited or not."""
        alerts = self.query('ALERTS{alertstate="firing"}')
        return {one["metric"]["alertname"] for one in alerts} - {"CallboardWatchdog"}

    def calm(self) -> bool:
        """Everything is scraped, and nothing fires or is about to."""
        up = self.query('sum(up{job=~"callboard-.+"})')
        pending = {one["metric"]["alertname"] for one in self.query("ALERTS")} - {"CallboardWatchdog"}
        assert not pending, f"still there: {sorted(pending)}"
        return bool(up) and float(up[0]["value"][1]) == 3

    def await_page(self, name: str, timeout: float = 60) -> tuple[float, dict[str, str]]:
        """Seconds until a page of this name has arrived from now on, and its labels."""
        began, known = time.monotonic(), len(self.receiver.alerts)

        def arrived() -> dict[str, str] | None:
            for alert in list(self.receiver.alerts)[known:]:
                if (alert["labels"]["alertname"], alert["status"], alert["receiver"]) == (name, "firing", "page"):
                    labels: dict[str, str] = alert["labels"]
                    return labels
            seen = sorted({alert["labels"]["alertname"] for alert in list(self.receiver.alerts)[known:]})
            raise AssertionError(f"arrived: {seen}; firing: {sorted(self.firing())}")

        labels = eventually(arrived, timeout, every=0.05, what=f"a page of {name}")
        assert labels is not None
        return time.monotonic() - began, labels

    def pages(self, since: int) -> set[str]:
        """Names of all pages from the given notification on."""
        taken = list(self.receiver.alerts)[since:]
        return {one["labels"]["alertname"] for one in taken if (one["status"], one["receiver"]) == ("firing", "page")}


def _hurried(name: str, text: str) -> str:
    if name.endswith("alerts.yml"):
        text = re.sub(r"keep_firing_for: \S+", "keep_firing_for: 10s", text)  # a scheduler takes its time to lead again
        return re.sub(r"(?m)^( +for): (\d+)([smhd])$", _shortened, text)
    if name.endswith("alertmanager.yml"):
        text = re.sub(r"group_wait: \S+", "group_wait: 1s", text)
        return re.sub(r"group_interval: \S+", "group_interval: 1s", text)
    return text


def _shortened(found: re.Match[str]) -> str:
    """Each wait in proportion: what holds back what depends on which of them is over first."""
    seconds = int(found[2]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[3]]
    return f"{found[1]}: {min(seconds // 20, 20)}s"
