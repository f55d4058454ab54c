"""Each kind of process is taken away in turn: its own page arrives, and no other one."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.observability.site import Site
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Fault(NamedTuple):
    """What is taken away, how it comes back, and the page that tells of it."""

    name: str
    page: str
    labels: dict[str, str]
    begin: Callable[[Site], None]
    end: Callable[[Site], None]


def _kill_valkey(site: Site) -> None:
    site.stage.valkey.kill()
    site.stage.valkey.wait(10)


def _stop_postgres(site: Site) -> None:
    site.stage.postgres.send_signal(signal.SIGQUIT)  # as a crash: no connection is waited for
    site.stage.postgres.wait(10)


def _servers_back(site: Site) -> None:
    site.stage.restart_servers()


FAULTS = (
    Fault("workers stopped", "CallboardNoConsumers", {}, lambda s: s.stop("worker"), lambda s: s.start("worker")),
    Fault(
        "scheduler killed", "CallboardSchedulerDown", {}, lambda s: s.kill("scheduler"), lambda s: s.start("scheduler")
    ),
    Fault("exporter killed", "CallboardExporterDown", {}, lambda s: s.kill("exporter"), lambda s: s.start("exporter")),
    Fault("Valkey killed", "CallboardExporterSourceDown", {"source": "broker"}, _kill_valkey, _servers_back),
    Fault("Postgres stopped", "CallboardExporterSourceDown", {"source": "postgres"}, _stop_postgres, _servers_back),
)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_what_is_taken_away_pages_and_nothing_else_does(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        for fault in FAULTS:
            before = len(site.receiver.alerts)
            fault.begin(site)
            seconds, labels = site.await_page(fault.page)
            assert labels.items() >= fault.labels.items()
            notes = next(one["annotations"] for one in reversed(site.receiver.alerts) if one["labels"] == labels)
            assert notes["command"].startswith("callboard ")
            assert notes["runbook_url"].endswith(f"/{fault.page}.md")
            fault.end(site)
            eventually(site.calm, 90, every=0.2, what=f"calm after: {fault.name}")
            eventually(lambda: site.receiver.named(fault.page, "resolved"), 20)  # noqa: B023 - called here and now
            assert site.pages(before) == {fault.page}, fault.name
            sys.stderr.write(f"{fault.name}: {fault.page} after {seconds:.1f} s\n")
        assert site.dead_man.silent_seconds < 120
