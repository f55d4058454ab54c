"""`callboard observability`: writes the files of Prometheus, Alertmanager and Grafana, and checks a live Prometheus."""

from cli._options import application
from cli.observability._check import check
from cli.observability._render import render

app = application(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Write monitoring files, and check a live Prometheus."""


for command in (render, check):
    app.command()(command)
