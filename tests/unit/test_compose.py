"""No container engine is at hand, so docker-compose.yml and the image are held against the code."""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from callboard.settings import Settings
from console.server import require_safe

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
OURS = {"migrate", "scheduler", "worker", "exporter", "console"}
SERVERS = {"postgres", "valkey", "prometheus", "alertmanager", "grafana"}
#: What Alertmanager writes to, run from our image.
RECEIVERS = {"alert-receiver": "sandbox.alert_receiver", "dead-man": "sandbox.dead_man"}


def default_of(value: str) -> str:
    """The text after Compose has put in the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def environment(service: str) -> dict[str, str]:
    return {name: default_of(str(value)) for name, value in SERVICES[service].get("environment", {}).items()}


def known_settings() -> dict[str, type[BaseSettings]]:
    """Every variable that some settings class of the engine or of a default catalogue reads."""
    modules = ["callboard.settings"]
    engine = import_module(modules[0]).Settings
    modules += [f"{catalogue}.settings" for catalogue in engine.model_fields["actors"].default]
    classes = [
        each
        for module in modules
        for _, each in inspect.getmembers(import_module(module), inspect.isclass)
        if issubclass(each, BaseSettings) and each is not BaseSettings
    ]
    return {f"{each.model_config['env_prefix']}{name}".upper(): each for each in classes for name in each.model_fields}


def test_the_services_are_ours_and_the_servers_they_need() -> None:
    assert set(SERVICES) == OURS | SERVERS | set(RECEIVERS) | {"reader"}
    images = {SERVICES[name]["image"] for name in OURS | set(RECEIVERS)}
    assert images == {"callboard:local"}
    for name in SERVERS:
        assert re.search(r":(v|pg)?\d", SERVICES[name]["image"]), f"{name} has no version"


@pytest.mark.parametrize("service", sorted(OURS))
def test_each_of_ours_runs_a_command_that_exists(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    from cli import execute

    program, *words = SERVICES[service]["command"]
    assert program == "callboard"
    assert words == [service]
    assert execute([*words, "--help"]) == 0
    assert f"callboard {service}" in capsys.readouterr().out
    assert execute([f"{service}-unheard-of", "--help"]) != 0


def test_the_health_check_runs_a_command_that_exists() -> None:
    from cli import execute

    for service in ("scheduler", "worker"):
        kind, program, *words = SERVICES[service]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "callboard")
        assert execute([*words, "--help"]) == 0


def test_the_program_of_the_commands_is_the_packages_own_script() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "callboard" in project["scripts"]


@pytest.mark.parametrize("service", sorted(OURS))
def test_each_variable_of_ours_is_a_setting_with_a_value_it_takes(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {name: value for name, value in environment(service).items() if name.startswith("CALLBOARD_")}
    known = known_settings()
    assert set(variables) <= set(known)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for settings in {known[name] for name in variables}:
        settings()


def test_variables_of_the_image_are_settings() -> None:
    named = set(re.findall(r"\bCALLBOARD_[A-Z_]+(?==)", DOCKERFILE))
    assert named
    assert named <= set(known_settings())


@pytest.mark.parametrize("service", sorted(OURS))
def test_ours_use_the_two_servers_beside_them(service: str) -> None:
    variables = environment(service)
    postgres = environment("postgres")
    credentials = f"{postgres['POSTGRES_USER']}:{postgres['POSTGRES_PASSWORD']}"
    assert variables["CALLBOARD_DATABASE_URL"] == f"postgresql://{credentials}@postgres:5432/{postgres['POSTGRES_DB']}"
    assert variables["CALLBOARD_BROKER_URL"] == "redis://valkey:6379/0"


def test_nothing_starts_before_what_it_needs_is_there() -> None:
    needs = {
        name: {other: each["condition"] for other, each in service["depends_on"].items()}
        for name, service in SERVICES.items()
        if "depends_on" in service
    }
    assert needs["migrate"] == {"postgres": "service_healthy"}
    for name in OURS - {"migrate"}:
        assert needs[name] == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "valkey": "service_healthy",
        }
    for name, others in needs.items():
        for other, condition in others.items():
            assert condition != "service_healthy" or SERVICES[other]["healthcheck"]["test"], f"{name} waits for ever"


@pytest.mark.parametrize("service", sorted((OURS | SERVERS | set(RECEIVERS)) - {"migrate"}))
def test_each_long_running_service_is_watched_restarted_and_given_time_to_stop(service: str) -> None:
    declared = SERVICES[service]
    assert declared["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= set(declared["healthcheck"])
    assert declared["restart"] == "unless-stopped"
    assert declared["stop_grace_period"]


def test_a_worker_is_not_killed_before_its_grace_is_over() -> None:
    grace = known_settings()["CALLBOARD_SHUTDOWN_GRACE_SECONDS"].model_fields["shutdown_grace_seconds"].default
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) >= grace + 4


def test_the_migration_runs_once() -> None:
    assert SERVICES["migrate"]["restart"].startswith("on-failure")
    assert SERVICES["migrate"]["healthcheck"] == {"disable": True}


def test_nothing_is_published_beyond_loopback() -> None:
    ports = {port for service in SERVICES.values() for port in service.get("ports", [])}
    assert ports == {f"127.0.0.1:{port}:{port}" for port in (3000, 9090, 9093, 9190, 9191)}


def test_the_exporter_is_where_prometheus_and_its_health_check_look() -> None:
    variables = environment("exporter")
    port = variables["CALLBOARD_EXPORTER_PORT"]
    assert variables["CALLBOARD_EXPORTER_HOST"] == "0.0.0.0"  # noqa: S104 - inside the container
    assert f"http://127.0.0.1:{port}/healthz" in " ".join(SERVICES["exporter"]["healthcheck"]["test"])
    scraped = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped}
    assert targets["callboard-exporter"] == [f"exporter:{port}"]
    default = known_settings()["CALLBOARD_EXPORTER_PORT"].model_fields["exporter_port"].default
    assert int(port) == default


def test_the_console_may_be_plain_for_it_is_published_on_this_machine_only() -> None:
    variables = environment("console")
    port = int(variables["CALLBOARD_CONSOLE_PORT"])
    given = {name.removeprefix("CALLBOARD_").lower(): value for name, value in variables.items() if "CONSOLE" in name}
    require_safe(Settings(**given), variables["CALLBOARD_CONSOLE_HOST"])
    assert SERVICES["console"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/readyz" in " ".join(SERVICES["console"]["healthcheck"]["test"])
    assert "CALLBOARD_CONSOLE_TOKEN" not in variables, "a token in a file that is shared is no secret"
    assert port == Settings.model_fields["console_port"].default


@pytest.mark.parametrize("service", ["worker", "scheduler"])
def test_worker_and_scheduler_are_where_prometheus_looks(service: str) -> None:
    assert environment(service)["CALLBOARD_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - inside the container
    port = known_settings()["CALLBOARD_METRICS_HOST"].model_fields[f"{service}_metrics_port"].default
    scraped = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped}
    assert targets[f"callboard-{service}"] == [f"{service}:{port}"]


@pytest.mark.parametrize("service", sorted(RECEIVERS))
def test_the_receivers_are_where_alertmanager_writes(service: str) -> None:
    words = SERVICES[service]["command"]
    assert words[:3] == ["python", "-m", RECEIVERS[service]]
    host = f"http://{service}:{words[words.index('--port') + 1]}/"
    receivers = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())["receivers"]
    urls = [webhook["url"] for receiver in receivers for webhook in receiver["webhook_configs"]]
    assert [url for url in urls if url.startswith(host)]
    assert f"http://127.0.0.1:{words[words.index('--port') + 1]}/healthz" in " ".join(
        SERVICES[service]["healthcheck"]["test"]
    )


def test_the_broker_keeps_what_it_is_given() -> None:
    words = SERVICES["valkey"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options == {
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory-policy": "noeviction",
    }


def test_every_volume_is_declared_and_every_mounted_folder_exists() -> None:
    sources = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    folders = {source for source in sources if source.startswith("./")}
    assert sources - folders == set(COMPOSE["volumes"])
    mounted = [path for folder in sorted(folders) for path in [ROOT / folder, *(ROOT / folder).rglob("*")]]
    assert {path.suffix for path in mounted if path.is_file()} == {".yml", ".json", ".sql"}
    assert all((ROOT / folder).exists() for folder in folders)


def test_grafana_reads_the_ledger_with_the_role_that_is_made_for_it() -> None:
    ledger = yaml.safe_load((ROOT / "grafana" / "provisioning" / "datasources" / "ledger.yml").read_text())
    (source,) = ledger["datasources"]
    variable = source["secureJsonData"]["password"].removeprefix("$")
    assert environment("grafana")[variable] == environment("reader")["READER_PASSWORD"]
    assert f"create role {source['user']} " in (ROOT / "grafana" / "reader.sql").read_text()
    assert source["user"] in SERVICES["reader"]["command"][-1]
    assert environment("reader")["PGDATABASE"] == source["jsonData"]["database"]


def test_the_files_that_are_mounted_fit_together() -> None:
    prometheus = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    assert prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]
    alertmanager = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    assert alertmanager["route"]["receiver"] in {each["name"] for each in alertmanager["receivers"]}
    (datasource,) = yaml.safe_load((ROOT / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert datasource["url"] == "http://prometheus:9090"


def test_the_image_holds_every_floor_and_runs_as_an_ordinary_user() -> None:
    build = SERVICES["worker"]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).read_text() == DOCKERFILE
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {pattern.rstrip("*") for pattern in found}
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == packages
    allowed = (ROOT / ".dockerignore").read_text().split()
    assert {f"!{package}" for package in packages} <= set(allowed)
    users = re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["callboard"]
    assert "constraints.txt" in DOCKERFILE
