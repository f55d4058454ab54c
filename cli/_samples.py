"""The variables under which `callboard up` uses samples, for other commands on the same folder.

Without them, `callboard run collect_all` beside an `up` that uses samples would look into the user's own folders, find
nothing, and take the samples for deleted.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from cli._output import say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FILE = "environment.json"


def remember(folder: Path, environment: Mapping[str, str]) -> None:
    """Keep what the children of `up` are told in the sandbox folder; nothing to tell removes the file."""
    if environment:
        (folder / _FILE).write_text(json.dumps(dict(environment), indent=2), encoding="utf-8")
    else:
        (folder / _FILE).unlink(missing_ok=True)


def use(home: Path) -> None:
    """Set what `up` remembered, except where the user's own environment says otherwise, and say so."""
    try:
        known = json.loads((home / "sandbox" / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    if not any(name in os.environ for name in known):
        os.environ.update(known)
        say(f"callboard: the samples in {home / 'sandbox'} are used, as by `callboard up`.", stderr=True)
