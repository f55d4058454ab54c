"""What Grafana is started with: data sources that the dashboards ask for, folders, and the role for the ledger."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from callboard.embedded._endpoints import connect
from observability.dashboards.build import ROOT
from observability.dashboards.query import LEDGER, PROMETHEUS
from tests.observability._ledger import fill
from tests.observability._sql import SQL, expanded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.observability._panels import Target

GRAFANA = ROOT / "grafana"


def sources(name: str) -> list[Any]:
    """Data sources of a file."""
    return list(yaml.safe_load((GRAFANA / name).read_text("utf-8"))["datasources"])


@pytest.fixture
def reader(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A filled ledger, as Grafana's role sees it; roles belong to the server, so it goes with the transaction."""
    script = (GRAFANA / "reader.sql").read_text("utf-8").replace(":'password'", "'reader'")
    with closing(connect(postgres_url)) as connection:
        fill(connection)
        connection.execute(script)
        connection.execute("set local role callboard_reader")
        yield connection
        connection.rollback()


def test_the_dashboards_find_their_data_sources() -> None:
    kinds = {
        source["type"]
        for name in ("prometheus", "ledger")
        for source in sources(f"provisioning/datasources/{name}.yml")
    }
    assert kinds == {PROMETHEUS.type_val, LEDGER.type_val}


def test_points_on_curves_lead_to_the_data_source_of_traces() -> None:
    (prometheus,) = sources("provisioning/datasources/prometheus.yml")
    (destination,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    tempo, loki = sources("examples/traces-and-logs.yml")
    assert destination == {"name": "trace_id", "datasourceUid": tempo["uid"]}
    assert tempo["jsonData"]["tracesToLogsV2"]["datasourceUid"] == loki["uid"]
    assert tempo["jsonData"]["tracesToMetrics"]["datasourceUid"] == prometheus["uid"]


def test_a_dollar_for_grafana_survives_provisioning() -> None:
    text = (GRAFANA / "examples" / "traces-and-logs.yml").read_text("utf-8")
    assert "$" not in text.replace("$$", "")


def test_dashboards_are_read_only_and_in_their_folder() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "callboard.yml").read_text("utf-8"))[
        "providers"
    ]
    assert (provider["folder"], provider["allowUiUpdates"], provider["disableDeletion"]) == ("Callboard", False, True)


@pytest.mark.parametrize("target", SQL, ids=lambda target: target.id)
def test_the_readers_rights_are_enough_for_every_panel(reader: psycopg.Connection[Any], target: Target) -> None:
    assert reader.execute(expanded(target.sql)).fetchall()


@pytest.mark.parametrize(
    "refused",
    [
        "select payload from board.dead_letters",
        "select payload from board.runs",
        "select 1 from board.workers",
        "delete from board.failures",
        "update board.issues set title = ''",
    ],
)
def test_the_reader_sees_no_payload_and_changes_nothing(reader: psycopg.Connection[Any], refused: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(refused)
