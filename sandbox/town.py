"""All the stand-ins that the sample company (`sandbox.company`) deals with, in one process.

`python -m sandbox.town --port openai=8090 --port webhooks=8082 …` serves until it is interrupted, each stand-in that is
not named on a free port, and prints where they are as JSON. With `--news 20` a document is written every 20 seconds, so
that there is always something to sync. In tests `with Town() as town:` does, and `town.environment` is what the jobs
must be told.

Of the three webhook endpoints one fails twice and then works, and one answers 404, so that what is sent to it becomes a
dead letter at once, until somebody mends it:

    POST <webhooks>/_sandbox/endpoints   {"name": "billing"}
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from sandbox.alert_receiver import until_stopped
from sandbox.company.credentials import signing_secret, token
from sandbox.datadog import Datadog
from sandbox.github import GitHubStandIn
from sandbox.google_drive import GoogleDriveStandIn
from sandbox.notion import NotionStandIn
from sandbox.onedrive import OneDriveStandIn
from sandbox.openai import OpenAIStandIn
from sandbox.revenuecat import RevenueCatStandIn
from sandbox.splunk import Splunk
from sandbox.webhook_receiver import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from sandbox.documents import DocumentStandIn
    from sandbox.stand_in import StandIn

NAMES = (
    "openai",
    "github",
    "notion",
    "google_drive",
    "onedrive",
    "splunk",
    "datadog",
    "webhooks",
    "revenuecat",
)
#: Names of the webhook endpoints.
ENDPOINTS, BROKEN = ("crm", "billing", "audit"), "billing"
_TROUBLES: Mapping[str, Mapping[str, int]] = {BROKEN: {"status": 404}, "crm": {"status": 503, "times": 2}}
_DOCUMENTS = 12


class Town:
    """The stand-ins, while the `with` block lasts.

    Args:
        ports: Of those that must not move, by name.
        broken: Whether webhook endpoints make trouble.
    """

    def __init__(self, ports: Mapping[str, int] | None = None, *, broken: bool = True) -> None:
        given = {name: (ports or {}).get(name, 0) for name in NAMES}
        self.webhooks = WebhookReceiver(given["webhooks"])
        self.github = GitHubStandIn(given["github"])
        self.github.repository = "acme/board"
        self.documents: tuple[DocumentStandIn, ...] = (
            self.github,
            NotionStandIn(given["notion"]),
            GoogleDriveStandIn(given["google_drive"]),
            OneDriveStandIn(given["onedrive"]),
        )
        self.standins: dict[str, StandIn] = dict(zip(NAMES[1:5], self.documents, strict=True)) | {
            "openai": OpenAIStandIn(given["openai"]),
            "splunk": Splunk(given["splunk"], token=token("splunk")),
            "datadog": Datadog(given["datadog"], key=token("datadog")),
            "webhooks": self.webhooks,
            "revenuecat": RevenueCatStandIn(given["revenuecat"], everyone=True, most_a_minute=100_000),
        }
        for each in self.documents:
            each.fill(_DOCUMENTS)
        for name in (*ENDPOINTS, "siem"):
            self.webhooks.add(name, signing_secret(name), **(_TROUBLES.get(name, {}) if broken else {}))
        self._news = itertools.count(_DOCUMENTS + 1)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for each in self.standins.values():
            self._open.enter_context(each)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def urls(self) -> dict[str, str]:
        """Where each one is."""
        return {name: each.url for name, each in self.standins.items()}

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which the jobs of the catalogues memory and revenue call these and nothing else."""
        return environment(self.urls)

    def write(self) -> None:
        """One more document, at each provider in turn."""
        number = next(self._news)
        self.documents[number % len(self.documents)].put(
            str(number), f"Decision {number}", f"From week {number} on, review {number} is done by two people."
        )


def environment(urls: Mapping[str, str]) -> dict[str, str]:
    """The same for stand-ins at these addresses."""
    return {
        "CALLBOARD_MEMORY_MODEL_URL": f"{urls['openai']}/v1",
        "CALLBOARD_MEMORY_MODEL_KEY": "sk-sandbox",
        "CALLBOARD_MEMORY_GITHUB_URL": urls["github"],
        "CALLBOARD_MEMORY_NOTION_URL": urls["notion"],
        "CALLBOARD_MEMORY_GOOGLE_DRIVE_URL": urls["google_drive"],
        "CALLBOARD_MEMORY_GOOGLE_TOKEN_URL": f"{urls['google_drive']}/token",
        "CALLBOARD_MEMORY_GOOGLE_CLIENT_ID": "sandbox",
        "CALLBOARD_MEMORY_ONEDRIVE_URL": urls["onedrive"],
        "CALLBOARD_MEMORY_ONEDRIVE_TOKEN_URL": f"{urls['onedrive']}/token",
        "CALLBOARD_MEMORY_ONEDRIVE_CLIENT_ID": "sandbox",
        "CALLBOARD_MEMORY_ALLOW_PRIVATE": "true",
        "CALLBOARD_REVENUE_REVENUECAT_URL": f"{urls['revenuecat']}/v2",
    }


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in NAMES or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} must look like openai=8090, with one of {', '.join(NAMES)}")
    return name, int(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.town", description="Serve all stand-ins.")
    parser.add_argument("--port", type=_port, action="append", default=[], metavar="NAME=PORT")
    parser.add_argument("--news", type=float, default=0.0, help="seconds between new documents; 0: there are none")
    given = parser.parse_args(arguments)
    stopping = until_stopped()
    with Town(dict(given.port)) as town:
        sys.stdout.write(json.dumps(town.urls) + "\n")
        sys.stdout.flush()
        while not stopping.wait(given.news or None):
            town.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
