"""`callboard observability render`."""

from pathlib import Path
from typing import Annotated

import typer

from callboard.loading import load_actors
from callboard.settings import get_settings
from callboard.spec import JobSpec, spec_of
from cli._options import usage
from cli._output import say
from observability.rules.alert import JobRunbook
from observability.rules.build import files
from observability.rules.config import ObservabilityConfig

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A field of ObservabilityConfig. May be repeated."),
]


def render(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to; made if it is not there.")],
    options: Set = None,
) -> None:
    """Write the files of Prometheus, Alertmanager and Grafana for the loaded jobs.

    In DIR: prometheus/prometheus.yml and its rules, alertmanager/alertmanager.yml, grafana/dashboards/*.json. They hold
    selectors, thresholds and addresses as --set says; docs/reference/alerts.md lists the fields.
    """
    config = configuration(options)
    jobs = load_actors(get_settings())
    runbooks = _runbooks([spec_of(job) for _, job in sorted(jobs.items())])
    texts = files(config, runbooks) | {f"grafana/dashboards/{name}": text for name, text in dashboards(config).items()}
    for name, text in texts.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        say(str(path))


def dashboards(config: ObservabilityConfig) -> dict[str, str]:
    """The dashboards; they are built with a package that only this command and CI need."""
    try:
        from observability.dashboards.build import render as built  # noqa: PLC0415 - as said above
    except ModuleNotFoundError as error:
        usage(f"the dashboards need the package {error.name}: install callboard[grafana].")
    return built(config)


def configuration(options: list[str] | None) -> ObservabilityConfig:
    """The defaults, changed as the options say.

    Raises:
        typer.BadParameter: An option names no field, or gives it a value that it does not take.
    """
    pairs = [option.partition("=") for option in options or ()]
    for name, equals, value in pairs:
        if not equals:
            usage(
                f"--set {name!r} must look like KEY=VALUE, e.g. grafana_url=https://grafana.example.org; not {value!r}"
            )
    try:
        return ObservabilityConfig().changed({name: value for name, _, value in pairs})
    except ValueError as error:
        usage(f"--set {error}")


def _runbooks(specs: list[JobSpec]) -> tuple[JobRunbook, ...]:
    return tuple(JobRunbook(spec.name, spec.runbook) for spec in specs if spec.runbook)
