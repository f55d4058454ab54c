"""alertmanager.yml: who is told of what, and which alert holds back which.

No receiver is empty: an alert that nobody is told of is no alert. A cause holds back its symptoms, never the other way
round, and only where the labels say that they belong together; two labels that are both absent count as equal, so a
rule on "critical over warning" without names would silence what it must not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from observability.rules._yaml import dump

if TYPE_CHECKING:
    from observability.rules._yaml import Tree
    from observability.rules.config import ObservabilityConfig

__all__ = ["INHIBITIONS", "RECEIVERS", "Inhibition", "alertmanager_text", "receiver_of"]

#: Receiver by severity.
RECEIVERS = {"critical": "page", "warning": "ticket", "info": "inspect", "none": "heartbeat"}

_SCHEDULES = ("ScheduleOverdue", "ScheduleFailing", "ScheduleMissedRuns")
_QUEUES = ("QueueStalled", "QueueLatencyHigh", "QueueGrowing", "DelayedOverdue", "MessagesOrphaned", "NoConsumers")
_READ: tuple[str, ...] = (
    *_SCHEDULES,
    *_QUEUES,
    "CanaryFailed",
    "OutboxStuck",
    "DeadLettersOld",
    "RunStuck",
    "ClockSkew",
)
_READ += ("SchedulePausedLong", "QueuePausedLong", "ExporterSlow", "WorkersMissing", "WorkerMetricsMissing")
_OUTAGE: tuple[str, ...] = (
    *_SCHEDULES,
    *_QUEUES,
    "CanaryFailed",
    "OutboxStuck",
    "RunStuck",
    "ExporterSlow",
    "WorkersMissing",
)
_OUTAGE += ("SchedulerDown", "WorkerMetricsMissing", "WorkerRestarting", "BrokerErrors", "FailureRatioHigh")
_OUTAGE += ("RetryStorm", "WorkersSaturated", "TargetDown")


class Inhibition(NamedTuple):
    """While `cause` fires, `symptoms` whose labels `equal` are the same are not told; names without the prefix."""

    cause: str
    symptoms: tuple[str, ...]
    equal: tuple[str, ...] = ()
    only: str = ""


INHIBITIONS = (
    Inhibition("ExporterDown", _READ),
    Inhibition("ExporterDown", ("TargetDown",), only="exporter_job"),
    Inhibition("ExporterSourceDown", _OUTAGE),
    Inhibition("SchedulerDown", ("ScheduleOverdue", "ScheduleMissedRuns", "CanaryFailed", "OutboxStuck")),
    Inhibition("SchedulerDown", ("TargetDown",), only="scheduler_job"),
    Inhibition(
        "NoConsumers",
        (*_QUEUES[:-1], "CanaryFailed", "ScheduleOverdue"),
        ("queue",),
    ),
    Inhibition("NoConsumers", ("WorkersMissing",)),
    Inhibition("NoConsumers", ("TargetDown",), only="worker_job"),
    Inhibition("WorkerMetricsMissing", ("QueueStalled",)),
    Inhibition("WorkerMetricsMissing", ("TargetDown",), only="worker_job"),
    Inhibition("QueueStalled", ("QueueLatencyHigh", "QueueGrowing", "CanaryFailed"), ("queue",)),
    Inhibition("QueueLatencyHigh", ("QueueGrowing",), ("queue",)),
    Inhibition("ScheduleOverdue", ("ScheduleFailing", "ScheduleMissedRuns"), ("schedule",)),
    Inhibition("RetryStorm", ("FailureRatioHigh",), ("queue",)),
    Inhibition("ErrorBudgetBurnFast", ("ErrorBudgetBurnSlow",), ("slo",)),
)

_SUBJECT = '[{{ .Status }}] {{ .CommonLabels.severity }}: {{ .GroupLabels.SortedPairs.Values | join " " }}'
_MAIL = """{{ range .Alerts }}{{ .Labels.alertname }} is {{ .Status }}: {{ .Annotations.summary }}
{{ .Annotations.description }}

  {{ .Annotations.command }}

Runbook:   {{ .Annotations.runbook_url }}
Dashboard: {{ .Annotations.dashboard_url }}
Since:     {{ .StartsAt.UTC.Format "2006-01-02 15:04:05" }} UTC

{{ end }}"""
_OTHERS = """
# Other receivers stand beside the webhooks, in the same list; `amtool check-config` reads the file before the server
# does. Every alert has the annotations summary, description, command, runbook_url and dashboard_url.
#
# receivers:
#   - name: page
#     pagerduty_configs:
#       - routing_key_file: /etc/alertmanager/pagerduty.key
#         description: "{{ .CommonAnnotations.summary }}"
#         details: {command: "{{ .CommonAnnotations.command }}", runbook: "{{ .CommonAnnotations.runbook_url }}"}
#   - name: ticket
#     slack_configs:
#       - api_url_file: /etc/alertmanager/slack.url
#         channel: "#jobs"
#         title: "{{ .CommonAnnotations.summary }}"
#         title_link: "{{ .CommonAnnotations.dashboard_url }}"
#         text: "{{ range .Alerts }}{{ .Annotations.description }} {{ .Annotations.command }}\\n{{ end }}"
#   - name: heartbeat # a service outside, that calls out when nothing comes: the address that it gave you
#     webhook_configs:
#       - url_file: /etc/alertmanager/heartbeat.url
#
# Mail, and other addresses, without touching this file:
#   callboard observability render --out DIR --set mail_to=oncall@example.org --set smarthost=mail.example.org:587
#   --set page_webhook=https://... --set heartbeat_webhook=https://...
"""


def receiver_of(severity: str) -> str:
    """The receiver that an alert of ours with this severity goes to."""
    return RECEIVERS[severity]


def alertmanager_text(config: ObservabilityConfig) -> str:
    """The file, without its notice."""
    mail: dict[str, Tree] = {
        "global": {
            "smtp_from": config.mail_from,
            "smtp_smarthost": config.smarthost,
            "smtp_require_tls": config.smtp_tls,
        }
    }
    tree: Tree = {
        **(mail if config.mail_to else {}),
        "route": _route(),
        "inhibit_rules": [_inhibition(each, config) for each in INHIBITIONS],
        "receivers": _receivers(config),
    }
    return dump(tree) + _OTHERS


def _route() -> Tree:
    return {
        "receiver": "ticket",
        "group_by": ["alertname", "queue", "schedule", "slo"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "12h",
        "routes": [
            _branch('alertname="CallboardWatchdog"', "heartbeat", "0s", "30s", "1m"),
            _branch('severity="critical"', "page", "10s", "1m", "1h"),
            _branch('severity="info"', "inspect", "5m", "1h", "24h"),
        ],
    }


def _branch(matcher: str, receiver: str, wait: str, interval: str, repeat: str) -> Tree:
    return {
        "matchers": [matcher],
        "receiver": receiver,
        "group_wait": wait,
        "group_interval": interval,
        "repeat_interval": repeat,
    }


def _inhibition(rule: Inhibition, config: ObservabilityConfig) -> Tree:
    names = "|".join(rule.symptoms)
    only = [f'job=~"{getattr(config, rule.only)}"'] if rule.only else []
    return {
        "source_matchers": [f'alertname="Callboard{rule.cause}"'],
        "target_matchers": [f'alertname=~"Callboard({names})"', *only],
        **({"equal": list(rule.equal)} if rule.equal else {}),
    }


def _receivers(config: ObservabilityConfig) -> Tree:
    mail: dict[str, Tree] = {
        "email_configs": [
            {
                "to": config.mail_to,
                "send_resolved": True,
                "headers": {"Subject": _SUBJECT},
                "html": "",
                "text": _MAIL,
            }
        ]
    }
    told = mail if config.mail_to else {}
    return [
        {"name": "page", **_webhook(config.page_webhook), **told},
        {"name": "ticket", **_webhook(config.ticket_webhook), **told},
        {"name": "inspect", **_webhook(config.ticket_webhook)},
        {"name": "heartbeat", **_webhook(config.heartbeat_webhook, resolved=False)},
    ]


def _webhook(url: str, *, resolved: bool = True) -> dict[str, Tree]:
    return {"webhook_configs": [{"url": url, "send_resolved": resolved}]}
