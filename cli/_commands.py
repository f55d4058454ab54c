"""The table of commands: enough for `--help` and completion without importing what the commands need."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Entry(NamedTuple):
    """One command: the module whose `app` it is, and its line in the help. A test holds the line against the module.

    `far` says what it does with `--api`: it works over one, refuses it, or is of this machine and ignores the variable.
    """

    module: str
    section: str
    summary: str
    hidden: bool = False
    far: Literal["works", "refuses", "here"] = "here"


RUNNING, LOOKING, MENDING, ALONE = "Run the board", "See", "Act and repair", "Set up and test"

COMMANDS: dict[str, Entry] = {
    "up": Entry("cli.up", RUNNING, "Start everything on this machine and show it on one screen."),
    "worker": Entry("cli.worker", RUNNING, "Run worker processes that do the jobs."),
    "scheduler": Entry("cli.scheduler", RUNNING, "Run the scheduler that calls the cadences."),
    "exporter": Entry("cli.exporter", RUNNING, "Serve metrics for Prometheus."),
    "console": Entry("cli.console", RUNNING, "Serve the console and its API."),
    "worker-process": Entry("cli.worker_process", RUNNING, "Run one worker process.", hidden=True),
    "top": Entry("cli.top", LOOKING, "Watch queues, jobs, runs, schedules and workers, live.", far="works"),
    "runs": Entry("cli.runs", LOOKING, "List runs, newest first.", far="works"),
    "jobs": Entry("cli.jobs", LOOKING, "List the jobs of the loaded catalogues.", far="works"),
    "schedules": Entry("cli.schedules", LOOKING, "List schedules, or pause and resume one.", far="works"),
    "queues": Entry("cli.queues", LOOKING, "List queues and what waits in them.", far="works"),
    "workers": Entry("cli.workers", LOOKING, "List worker processes.", far="works"),
    "breakers": Entry("cli.breakers", LOOKING, "List circuit breakers, or close one.", far="works"),
    "notifications": Entry(
        "cli.notifications", LOOKING, "List who was told of what, or send a test message.", far="works"
    ),
    "run": Entry("cli.run", MENDING, "Run a job in this process, or show a run.", far="works"),
    "trigger": Entry("cli.trigger", MENDING, "Ask the workers to run a job now.", far="works"),
    "cancel": Entry("cli.cancel", MENDING, "Cancel a run.", far="works"),
    "issues": Entry("cli.issues", MENDING, "List issues; show, take, resolve, reopen and silence one.", far="works"),
    "failures": Entry("cli.failures", MENDING, "List failed attempts, show one, and retry them.", far="works"),
    "dead-letters": Entry("cli.dead_letters", MENDING, "List, show, replay and discard dead letters.", far="works"),
    "sessions": Entry("cli.sessions", MENDING, "Search, restore and repair the sessions catalogue.", far="refuses"),
    "audit": Entry("cli.audit", LOOKING, "List who did what, newest first.", far="works"),
    "users": Entry("cli.users", ALONE, "List users, let somebody in, and change what they may.", far="works"),
    "teams": Entry("cli.teams", ALONE, "List teams, make and delete them, and say who is in them.", far="works"),
    "projects": Entry("cli.projects", ALONE, "List projects, make and delete them.", far="works"),
    "keys": Entry("cli.keys", ALONE, "List, create and revoke API keys.", far="works"),
    "webhooks": Entry(
        "cli.webhooks", ALONE, "List, register, change and test webhooks of the memory catalogue.", far="refuses"
    ),
    "destinations": Entry(
        "cli.destinations",
        ALONE,
        "List, add and change destinations of audit rows: Splunk, Datadog, your own.",
        far="refuses",
    ),
    "connections": Entry(
        "cli.connections",
        ALONE,
        "List, add, change and sync connections: GitHub, Notion, Google Drive, OneDrive.",
        far="refuses",
    ),
    "integrations": Entry(
        "cli.integrations", ALONE, "List, connect and disconnect RevenueCat of the revenue catalogue.", far="refuses"
    ),
    "check": Entry("cli.check", ALONE, "Check settings, servers and jobs; starts nothing."),
    "observability": Entry("cli.observability", ALONE, "Write monitoring files, and check a live Prometheus."),
    "migrate": Entry("cli.migrate", ALONE, "Bring the database to the newest revision."),
    "smoke": Entry("cli.smoke", ALONE, "Run every job once on sandbox input, in a temporary folder."),
}
