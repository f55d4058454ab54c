"""A migrated database, a key for secrets and fresh settings for each test of the memory catalogue."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from actors.memory.embedding import embedding_refresh
from actors.memory.heat import reevaluate_memory
from actors.memory.insights import user_snapshot
from actors.memory.settings import get_memory_settings
from actors.memory.summaries import summarise_cluster
from actors.memory.syncs import process_scheduled_syncs, run_sync_job
from actors.memory.webhooks import deliver, poll
from callboard import get_settings
from callboard.ledger import database
from sandbox.github import GitHubStandIn
from sandbox.google_drive import GoogleDriveStandIn
from sandbox.notion import NotionStandIn
from sandbox.onedrive import OneDriveStandIn
from sandbox.openai import OpenAIStandIn
from sandbox.webhook_receiver import WebhookReceiver
from tests.board import Board, open_board
from tests.integration.memory.hooks import Hooks
from tests.integration.memory.kit import add_tenant
from tests.integration.memory.syncing import point_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL_KEY = "sk-test"


@pytest.fixture
def memory_database(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a fresh database that the catalogue uses, with a key for its secrets."""
    variables = {
        "CALLBOARD_DATABASE_URL": postgres_url,
        "CALLBOARD_HOME": str(tmp_path),
        "CALLBOARD_SECRET_KEYS": b64encode(bytes(range(32))).decode(),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _forget_settings()
    yield postgres_url
    _forget_settings()


@pytest.fixture
def openai(memory_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIStandIn]:
    """The stand-in for the language model that the catalogue talks to."""
    del memory_database
    with OpenAIStandIn(key=MODEL_KEY) as stand_in:
        monkeypatch.setenv("CALLBOARD_MEMORY_MODEL_URL", stand_in.api)
        monkeypatch.setenv("CALLBOARD_MEMORY_MODEL_KEY", MODEL_KEY)
        monkeypatch.setenv("CALLBOARD_MEMORY_EMBEDDING_DIMENSIONS", "64")
        get_memory_settings.cache_clear()
        yield stand_in


def _forget_settings() -> None:
    database.dispose()
    get_settings.cache_clear()
    get_memory_settings.cache_clear()


@pytest.fixture
def receiver(memory_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    """A receiver of webhooks that the catalogue may call."""
    del memory_database
    monkeypatch.setenv("CALLBOARD_MEMORY_ALLOW_PRIVATE", "true")
    get_memory_settings.cache_clear()
    with WebhookReceiver() as opened:
        yield opened


@pytest.fixture
def webhooks_board(memory_database: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """The engine, with the jobs of the webhooks."""
    with open_board(monkeypatch, memory_database, broker_url) as opened:
        for each in (deliver, poll):
            monkeypatch.setattr(each, "broker", opened.broker)
            opened.broker.declare_actor(each)
        yield opened


@pytest.fixture
def hooks(webhooks_board: Board, receiver: WebhookReceiver) -> Hooks:
    """A tenant whose webhooks lead to the receiver."""
    del webhooks_board
    return Hooks(add_tenant(), receiver)


@pytest.fixture
def syncs_board(memory_database: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """The engine, with the jobs of the syncs."""
    with open_board(monkeypatch, memory_database, broker_url) as opened:
        for each in (process_scheduled_syncs, run_sync_job):
            monkeypatch.setattr(each, "broker", opened.broker)
            opened.broker.declare_actor(each)
        yield opened


@pytest.fixture
def github(memory_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubStandIn]:
    """GitHub, as the catalogue knows it."""
    del memory_database
    with GitHubStandIn() as stand_in:
        point_at(monkeypatch, "github", stand_in)
        yield stand_in


@pytest.fixture
def notion(memory_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotionStandIn]:
    """Notion, as the catalogue knows it."""
    del memory_database
    with NotionStandIn() as stand_in:
        point_at(monkeypatch, "notion", stand_in)
        yield stand_in


@pytest.fixture
def google_drive(memory_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleDriveStandIn]:
    """Google Drive, as the catalogue knows it."""
    del memory_database
    with GoogleDriveStandIn() as stand_in:
        point_at(monkeypatch, "google_drive", stand_in)
        yield stand_in


@pytest.fixture
def onedrive(memory_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneDriveStandIn]:
    """OneDrive, as the catalogue knows it."""
    del memory_database
    with OneDriveStandIn() as stand_in:
        point_at(monkeypatch, "onedrive", stand_in)
        yield stand_in


@pytest.fixture
def intelligence_board(
    openai: OpenAIStandIn, memory_database: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Board]:
    """The engine, with the jobs that the intelligence jobs send."""
    del openai
    with open_board(monkeypatch, memory_database, broker_url) as opened:
        for each in (summarise_cluster, embedding_refresh, reevaluate_memory, user_snapshot, deliver):
            monkeypatch.setattr(each, "broker", opened.broker)
            opened.broker.declare_actor(each)
        yield opened
