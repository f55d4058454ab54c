"""All cases of all topics."""

from __future__ import annotations

from tests.observability.alert_cases import jobs, platform, queues, schedules

CASES = [case for topic in (schedules, queues, jobs, platform) for case in topic.TABLE.cases]
