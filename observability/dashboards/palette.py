"""The same thing has the same colour on every dashboard."""

OUTCOMES = {
    "success": "green",
    "retry": "orange",
    "failed": "red",
    "expired": "purple",
    "skipped": "#8e8e99",
    "cancelled": "blue",
    "shutdown": "#c8c8d0",
    "postponed": "yellow",
}
STATES = {"ready": "blue", "claimed": "green", "delayed": "#8e8e99", "orphaned": "orange", "dead": "red"}
EVENTS = {"good": "green", "bad": "red"}
PERCENTILES = {"p50": "green", "p95": "orange", "p99": "red"}
FLOW = {"arriving": "blue", "finished": "green"}
