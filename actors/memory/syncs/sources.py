"""Which client speaks to which provider, as the settings say."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.memory.clients.github import GitHub
from actors.memory.clients.google_drive import GoogleDrive
from actors.memory.clients.notion import Notion
from actors.memory.clients.oauth import Client
from actors.memory.clients.onedrive import OneDrive
from actors.memory.syncs.access import ConnectionAccess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.memory.clients.source import Source
    from actors.memory.settings import MemorySettings
    from actors.memory.syncs.state import Task


@contextmanager
def open_source(task: Task, settings: MemorySettings) -> Iterator[Source]:
    """The provider of a connection, while the block lasts.

    Raises:
        PermanentError: The connection's options do not say enough.
    """
    access = ConnectionAccess(task.connection_id, _client(task.provider, settings))
    lenient, patience = task.last_attempt, settings.sync_patience_seconds
    source: GitHub | Notion | GoogleDrive | OneDrive
    match task.provider:
        case "github":
            source = GitHub(settings.github_url, access, task.options, lenient=lenient, patience=patience)
        case "notion":
            source = Notion(settings.notion_url, access, task.options, lenient=lenient, patience=patience)
        case "google_drive":
            source = GoogleDrive(settings.google_drive_url, access, task.options, lenient=lenient, patience=patience)
        case _:
            source = OneDrive(settings.onedrive_url, access, task.options, lenient=lenient, patience=patience)
    with source.provider:
        yield source


def _client(provider: str, settings: MemorySettings) -> Client | None:
    """GitHub's and Notion's tokens are good until they are revoked."""
    google = Client("google_drive", settings.google_token_url, settings.google_client_id, settings.google_client_secret)
    microsoft = Client(
        "onedrive", settings.onedrive_token_url, settings.onedrive_client_id, settings.onedrive_client_secret
    )
    return {"google_drive": google, "onedrive": microsoft}.get(provider)
