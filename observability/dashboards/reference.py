"""docs/reference/dashboards.md: every panel, and what it looks like when all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.dashboards.page import Page, Row

__all__ = ["text"]

_ABOUT = """\
In the folder Callboard of Grafana, built into `grafana/dashboards/` and provisioned read-only. Every number leads to
what explains it, with the same time range; the menu Callboard at the top keeps it too. Marks on the time axis are
deploys (blue), firing alerts (red) and missed ticks (orange). Jobs, queues, schedules and objectives appear by
themselves once they are declared."""

_INSTALLED = """\
Elsewhere than in `docker-compose.yml`: mount `grafana/dashboards/` as `/etc/grafana/dashboards` and
`grafana/provisioning/` as `/etc/grafana/provisioning`, or import the files by hand. `callboard observability render`
builds them with other scrape jobs, thresholds and addresses. Runs and Failures also read Postgres: `grafana/reader.sql`
makes the role, which sees no payload and changes nothing. `grafana/examples/traces-and-logs.yml` has the data sources
for traces and logs."""
_PICTURES = """\
The pictures were drawn with Grafana's own components (heat maps and bands of states apart) from six generated hours
that end in an incident."""


def text(pages: Sequence[Page], command: str) -> str:
    """The page, in Markdown."""
    head = [
        "# Dashboards",
        f"<!-- Built by `{command}`. Change the code, not this page. -->",
        _ABOUT,
        _INSTALLED,
        _PICTURES,
        "| Dashboard | uid | Answers |\n| --- | --- | --- |\n"
        + "\n".join(f"| [{page.title}](#{_anchor(page.title)}) | `{page.uid}` | {page.about} |" for page in pages),
    ]
    return "\n\n".join([*head, *(block for page in pages for block in _page(page))]) + "\n"


def _page(page: Page) -> Iterator[str]:
    yield f"## {page.title}"
    yield page.about
    yield f"![{page.title}](../img/dashboards/{page.uid}.png)"
    names = ", ".join(f"`var-{variable.name}`" for variable in page.variables)
    yield f"Variables of its address: {names}." if names else "It has no variables of its own."
    yield "| Row | Panel | Shows | Good |\n| --- | --- | --- | --- |\n" + "\n".join(
        _line(row, panel) for row in page.rows for panel in row.panels
    )


def _line(row: Row, panel: Panel) -> str:
    shows, good = (panel.description or "").split("\n\n**Good:** ")
    return f"| {row.title} | {panel.title} | {shows} | {good} |"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
