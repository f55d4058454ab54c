"""Floor 5: the `callboard` command. One file per command or group; this floor alone composes all the others.

`main` is the console script, `app` the Typer application. The table of commands is `cli._commands`.
"""

from __future__ import annotations

from cli._app import app, execute, main

__all__ = ["app", "execute", "main"]
