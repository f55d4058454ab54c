"""The pickers at the top of a dashboard. Their values are asked for again when the time range changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.models.dashboard import (
    VariableHide,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
    VariableType,
)

from observability.dashboards.query import LEDGER, PROMETHEUS

if TYPE_CHECKING:
    from observability.rules.config import ObservabilityConfig

__all__ = [
    "actor",
    "actors",
    "ledger",
    "of_label",
    "prometheus",
    "queues",
    "run_id",
    "run_states",
    "schedules",
    "scrape_job",
    "slos",
]

_ALL = VariableOption(selected=True, text=["All"], value=["$__all"])


def prometheus() -> VariableModel:
    """Which Prometheus."""
    return VariableModel(
        type_val=VariableType.DATASOURCE, name="datasource", label="Data source", query="prometheus", options=[]
    )


def ledger() -> VariableModel:
    """Which Postgres, of those that Grafana reads with a role that may only read."""
    kind = str(LEDGER.type_val)
    return VariableModel(type_val=VariableType.DATASOURCE, name="ledger", label="Ledger", query=kind, options=[])


def scrape_job(config: ObservabilityConfig) -> VariableModel:
    """Prometheus' own `job`: out of sight, as it is not what people here call a job, and All nearly always fits."""
    variable = of_label("job", "Job", f'label_values(up{{job=~"{config.jobs}"}}, job)')
    variable.hide = VariableHide.HIDE_VARIABLE
    return variable


def queues() -> VariableModel:
    """One, some or all queues."""
    return of_label("queue", "Queue", 'label_values(callboard_queue_depth{job=~"$job"}, queue)')


def schedules() -> VariableModel:
    """One, some or all schedules."""
    query = 'label_values(callboard_schedule_interval_seconds{job=~"$job"}, schedule)'
    return of_label("schedule", "Schedule", query)


def slos() -> VariableModel:
    """One, some or all objectives."""
    return of_label("slo", "Objective", 'label_values(callboard_slo_objective_ratio{job=~"$job"}, slo)')


def actors() -> VariableModel:
    """One, some or all jobs."""
    return of_label("actor", "Job", 'label_values(callboard_attempts_total{job=~"$job"}, actor)')


def actor() -> VariableModel:
    """Exactly one job."""
    variable = actors()
    variable.multi = variable.include_all = False
    variable.all_value = variable.current = None
    return variable


def run_id() -> VariableModel:
    """A run's id, typed or brought along by a link."""
    empty = VariableOption(selected=True, text="", value="")
    return VariableModel(
        type_val=VariableType.TEXTBOX, name="run_id", label="Run", query="", current=empty, options=[empty]
    )


def of_label(name: str, label: str, query: str) -> VariableModel:
    """The values of a label."""
    return VariableModel(
        type_val=VariableType.QUERY,
        name=name,
        label=label,
        query={"query": query, "refId": f"{name}-values", "qryType": 5},
        definition=query,
        datasource=PROMETHEUS,
        multi=True,
        include_all=True,
        all_value=".+",
        current=_ALL,
        options=[],
        refresh=VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=VariableSort.ALPHABETICAL_ASC,
    )


def run_states() -> VariableModel:
    """States of a run, as the ledger names them."""
    states = ("pending", "running", "completed", "failed", "cancelled")
    options = [VariableOption(selected=False, text=state, value=state) for state in states]
    return VariableModel(
        type_val=VariableType.CUSTOM,
        name="state",
        label="State",
        query=",".join(states),
        multi=True,
        include_all=True,
        all_value=".+",
        current=_ALL,
        options=[VariableOption(selected=True, text="All", value="$__all"), *options],
    )
