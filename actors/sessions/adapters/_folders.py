"""Lists folders: one that cannot be read is reported, and the rest goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from actors.sessions.adapters._model import Listing, Source, storable
from actors.sessions.reader import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator


def entries(folder: Path | str, listing: Listing) -> Iterator[os.DirEntry[str]]:
    """What is in a folder. A missing one is empty: folders come and go while they are listed."""
    try:
        with os.scandir(folder) as found:
            yield from found
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        listing.errors.append((Path(folder), error))


def begin(root: Path) -> Listing:
    """An empty listing that knows whether its root is there."""
    return Listing(missing=not root.is_dir())


def add(listing: Listing, entry: os.DirEntry[str], project: str) -> None:
    """Add a file to the listing, unless it vanished since."""
    try:
        listing.sources.append(Source(Path(entry.path), Stamp.of(entry.stat()), storable(project)))
    except FileNotFoundError:
        return
    except OSError as error:
        listing.errors.append((Path(entry.path), error))
