"""Floor 1: logs, metrics and their reference pages, built from plain facts that the floors above hand in.

=================  ==========================================================================
`logs`             `configure()`: structlog and the standard library through one renderer
`redaction`        `redact()`: what may be shown of a value
`events`           the log events that other programs may rely on
`catalogue`        the table of metrics
`snapshot`         the facts of one moment, as the engine hands them over
`exporter`         a snapshot as Prometheus series
`server`           `/metrics`, `/healthz` and `/readyz`
`tracing`          spans over OTLP/HTTP, where OTEL_* asks for them
`rules`            recording rules, alerts, Alertmanager's routes and the runbooks' heads, as code
`docs`             docs/reference/metrics.md, events.md and alerts.md, from the tables above
=================  ==========================================================================
"""
