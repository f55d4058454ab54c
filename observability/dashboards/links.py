"""Where a click leads: to another dashboard, with the time range and the choices made on this one."""

from __future__ import annotations

from typing import TypeAlias

from grafana_foundation_sdk.models.dashboard import DashboardLink, DashboardLinkType

__all__ = ["KEPT", "TAG", "UIDS", "DataLink", "Link", "field", "row", "to", "toolbar"]

TAG = "callboard-mixin"
UIDS = tuple(
    f"callboard-{name}"
    for name in ("overview", "queue", "job", "schedules", "runs", "failures", "workers", "slo", "platform")
)
#: What every link carries.
KEPT = "${datasource:queryparam}&${job:queryparam}&${__url_time_range}"

Link: TypeAlias = dict[str, object]


class DataLink(DashboardLink):
    """A link of a value; Grafana stores less of it than of a dashboard's link."""

    def to_json(self) -> dict[str, object]:
        """As panels store it."""
        return {"title": self.title, "url": self.url, "targetBlank": self.target_blank}


def to(name: str, title: str, **variables: str) -> DataLink:
    """A link to the dashboard `callboard-<name>`, whose variables get these values.

    Raises:
        ValueError: There is no such dashboard.
    """
    uid = f"callboard-{name}"
    if uid not in UIDS:
        raise ValueError(f"link to {uid!r}: no such dashboard; there are {', '.join(UIDS)}")
    chosen = "".join(f"&var-{variable}={value}" for variable, value in variables.items())
    return DataLink(title=title, url=f"/d/{uid}?{KEPT}{chosen}")


def outside(title: str, url: str) -> DataLink:
    """A link that leaves Grafana; it opens in a new tab."""
    return DataLink(title=title, url=url, target_blank=True)


def field(label: str) -> str:
    """The label of the series that was clicked."""
    return f"${{__field.labels.{label}}}"


def row(column: str) -> str:
    """A cell of the table's row that was clicked, by the name of its column."""
    return f'${{__data.fields["{column}"]}}'


def toolbar() -> list[DashboardLink]:
    """The menu at the top of each dashboard."""
    menu = DashboardLink(
        title="Callboard", type_val=DashboardLinkType.DASHBOARDS, tags=[TAG], as_dropdown=True, icon="external link"
    )
    menu.tooltip, menu.include_vars, menu.keep_time = "The other dashboards, same time and choices", True, True
    return [menu]
