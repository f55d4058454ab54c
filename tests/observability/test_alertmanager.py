"""Alertmanager as built: who is told of each alert, what holds back what, and that webhook and mail arrive."""

from __future__ import annotations

import email
import email.policy
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiosmtpd.controller import Controller

from observability.rules.alertmanager import INHIBITIONS, receiver_of
from observability.rules.build import ROOT, alerts, files
from observability.rules.config import ObservabilityConfig
from sandbox.alert_receiver import AlertReceiver, line
from tests.observability.programs import program
from tests.support import eventually, free_port

CONFIG = ObservabilityConfig()
BUILT = ROOT / "alertmanager" / "alertmanager.yml"
ALERTS = {(alert.name, alert.severity): alert for alert in alerts(CONFIG)}


class Mailbox:
    """Keeps the mail that aiosmtpd takes."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: ANN401, N802 - aiosmtpd's protocol
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


def amtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("amtool"), *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("mail", ["", "oncall@example.org"])
def test_amtool_takes_the_file(tmp_path: Path, mail: str) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(files(CONFIG.changed({"mail_to": mail}))["alertmanager/alertmanager.yml"])
    checked = amtool("check-config", str(path))
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(("name", "severity"), sorted(ALERTS))
def test_each_alert_goes_to_the_receiver_of_its_severity(name: str, severity: str) -> None:
    labels = [f"alertname={name}", f"severity={severity}", "queue=mail", "schedule=nightly", "owner=ops"]
    routed = amtool("config", "routes", "test", f"--config.file={BUILT}", f"--verify.receivers={receiver_of(severity)}",
                    *labels)  # fmt: skip
    assert routed.returncode == 0, routed.stdout + routed.stderr


def test_a_wrong_receiver_is_noticed() -> None:
    routed = amtool("config", "routes", "test", f"--config.file={BUILT}", "--verify.receivers=ticket",
                    "alertname=CallboardNoConsumers", "severity=critical")  # fmt: skip
    assert routed.returncode == 1


def test_no_receiver_is_empty_and_every_one_is_used() -> None:
    tree = yaml.safe_load(BUILT.read_text())
    for receiver in tree["receivers"]:
        assert [key for key in receiver if key.endswith("_configs")], f"{receiver['name']} tells nobody"
    used = {tree["route"]["receiver"], *(route["receiver"] for route in tree["route"]["routes"])}
    assert used == {receiver["name"] for receiver in tree["receivers"]}


def test_inhibitions_name_alerts_and_never_the_watchdog() -> None:
    names = {alert.name for alert in alerts(CONFIG)}
    for rule in INHIBITIONS:
        assert {f"Callboard{name}" for name in (rule.cause, *rule.symptoms)} <= names
        assert rule.cause not in rule.symptoms
        assert "Watchdog" not in rule.symptoms


def test_no_two_alerts_hold_each_other_back() -> None:
    pairs = {(rule.cause, symptom) for rule in INHIBITIONS for symptom in rule.symptoms}
    assert [pair for pair in pairs if pair[::-1] in pairs] == []


@dataclass
class Running:
    url: str
    receiver: AlertReceiver
    mailbox: Mailbox

    def raise_alert(self, name: str, severity: str, **labels: str) -> None:
        annotations = {"summary": "It is so.", "description": "Look.", "command": "callboard queues"}
        alert = {"labels": {"alertname": f"Callboard{name}", "severity": severity} | labels, "annotations": annotations}
        httpx.post(f"{self.url}/api/v2/alerts", json=[alert]).raise_for_status()

    def inhibited(self) -> set[tuple[str, str]]:
        """Name and queue of what is held back."""
        alerts = httpx.get(f"{self.url}/api/v2/alerts").json()
        return {
            (alert["labels"]["alertname"].removeprefix("Callboard"), alert["labels"].get("queue", ""))
            for alert in alerts
            if alert["status"]["state"] == "suppressed"
        }


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Alertmanager with the built configuration, but for its addresses and that it does not wait."""
    mailbox, smtp_port, port = Mailbox(), free_port(), free_port()
    mail = Controller(mailbox, hostname="127.0.0.1", port=smtp_port)
    mail.start()
    try:
        with AlertReceiver() as receiver:
            hooks = {f"{name}_webhook": f"{receiver.url}/alerts" for name in ("page", "ticket", "heartbeat")}
            changes = {"mail_to": "oncall@example.org", "smarthost": f"127.0.0.1:{smtp_port}", "smtp_tls": "false"}
            tree = yaml.safe_load(files(CONFIG.changed(hooks | changes))["alertmanager/alertmanager.yml"])
            for route in (tree["route"], *tree["route"]["routes"]):
                route["group_wait"] = "100ms"
            (tmp_path / "alertmanager.yml").write_text(json.dumps(tree))
            with serving(tmp_path, port) as url:
                yield Running(url, receiver, mailbox)
    finally:
        mail.stop()


class serving:  # noqa: N801 - reads as a sentence after `with`
    def __init__(self, folder: Path, port: int) -> None:
        self._log = (folder / "log").open("w+")
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [program("prometheus-alertmanager"), f"--config.file={folder / 'alertmanager.yml'}",
             f"--storage.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
             "--cluster.listen-address="],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def __enter__(self) -> str:
        try:
            eventually(self._ready, 15, what="Alertmanager is ready")
        except AssertionError:
            self.__exit__()
            raise
        return self.url

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").status_code == 200
        except httpx.HTTPError:
            return False


def test_a_page_arrives_as_webhook_and_mail_and_a_cause_holds_back_its_symptoms(running: Running) -> None:
    running.raise_alert("NoConsumers", "critical", queue="mail")
    running.raise_alert("QueueLatencyHigh", "critical", queue="mail")
    running.raise_alert("ScheduleOverdue", "critical", queue="mail", schedule="digest")
    running.raise_alert("QueueLatencyHigh", "critical", queue="reports")
    running.raise_alert("NotificationsFailing", "critical")
    running.raise_alert("TelemetryDropped", "warning")
    running.raise_alert("Watchdog", "none")
    held = {("QueueLatencyHigh", "mail"), ("ScheduleOverdue", "mail")}
    eventually(lambda: running.inhibited() == held, what="the symptoms are held back, and nothing else")

    (page,) = eventually(lambda: running.receiver.named("CallboardNoConsumers"), what="the page")
    assert page["receiver"] == "page"
    assert line(page) == "page firing CallboardNoConsumers queue=mail severity=critical: Look. | callboard queues"
    (other,) = eventually(lambda: running.receiver.named("CallboardQueueLatencyHigh"), what="another queue's page")
    assert other["labels"]["queue"] == "reports"
    assert eventually(lambda: running.receiver.named("CallboardWatchdog"))[0]["receiver"] == "heartbeat"
    assert eventually(lambda: running.receiver.named("CallboardTelemetryDropped"))[0]["receiver"] == "ticket"

    mails = eventually(lambda: [each for each in running.mailbox.mails if "NoConsumers" in each["Subject"]])
    assert mails[0]["To"] == "oncall@example.org"
    assert mails[0]["Subject"] == "[firing] critical: CallboardNoConsumers mail"
    text = mails[0].get_body(("plain",)).get_content()
    assert "  callboard queues" in text
    assert "CallboardNoConsumers is firing: It is so." in text
    assert not [each for each in running.mailbox.mails if "Watchdog" in each["Subject"]]


SOURCES = [
    ("ExporterDown", {}, "QueueLatencyHigh", {"queue": "mail"}, True),
    ("ExporterDown", {}, "SchedulerDown", {}, False),
    ("ExporterDown", {}, "TargetDown", {"job": "callboard-worker"}, False),
    ("ExporterSourceDown", {"source": "postgres"}, "SchedulerDown", {}, True),
    ("ExporterSourceDown", {"source": "broker"}, "NotificationsFailing", {}, False),
    ("SchedulerDown", {}, "ScheduleOverdue", {"schedule": "digest"}, True),
    ("SchedulerDown", {}, "ScheduleFailing", {"schedule": "digest"}, False),
    ("ScheduleOverdue", {"schedule": "a"}, "ScheduleFailing", {"schedule": "a"}, True),
    ("ScheduleOverdue", {"schedule": "a"}, "ScheduleFailing", {"schedule": "b"}, False),
    ("ErrorBudgetBurnFast", {"slo": "a"}, "ErrorBudgetBurnSlow", {"slo": "b"}, False),
]


def test_each_cause_alone(running: Running) -> None:
    for number, (cause, its, symptom, others, held) in enumerate(SOURCES):
        end = {"endsAt": "2000-01-01T00:00:00Z", "startsAt": "1999-01-01T00:00:00Z"}
        running.raise_alert(cause, "critical", **its)
        running.raise_alert(symptom, "warning", **others)
        told = [{"labels": {"alertname": f"Callboard{name}", "severity": severity} | labels} | end
                for name, severity, labels in ((cause, "critical", its), (symptom, "warning", others))]  # fmt: skip
        if held:
            eventually(
                lambda symptom=symptom: symptom in {name for name, _ in running.inhibited()}, what=f"case {number}"
            )
        else:
            name = f"Callboard{symptom}"
            eventually(lambda name=name, others=others: [each for each in running.receiver.named(name)
                       if others.items() <= each["labels"].items()], what=f"case {number}")  # fmt: skip
        httpx.post(f"{running.url}/api/v2/alerts", json=told).raise_for_status()
        eventually(lambda: httpx.get(f"{running.url}/api/v2/alerts").json() == [], what="all is quiet again")
