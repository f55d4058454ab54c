"""The board that a command acts on: that of this machine's settings, or one behind an API.

Commands ask `board()` and know no difference: what both can do is the port, and each way of doing it is one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cli.board._port import Board

__all__ = ["board", "here_only", "is_remote", "use"]

_chosen: list[tuple[str, str]] = []  # the address and the key of this command line's API, if it names one


def use(url: str | None, key: str | None) -> None:
    """Let the commands that follow act on the board behind this API; without an address, on that of the settings.

    Raises:
        typer.BadParameter: There is no key, or the address is none.
    """
    _chosen.clear()
    if url is None:
        return
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"--api {url!r} is no address: write it like https://board.example.org")
    if not key:
        raise typer.BadParameter(
            "--api needs a key: set CALLBOARD_API_KEY, or give --key, which other users of this machine can see"
        )
    _chosen.append((url.rstrip("/"), key))


def is_remote() -> bool:
    """Whether the board is behind an API."""
    return bool(_chosen)


def here_only(what: str) -> None:
    """Go on only if the board is this machine's.

    Raises:
        typer.BadParameter: It is behind an API.
    """
    if is_remote():
        raise typer.BadParameter(f"{what} does not work over an API; run it where the board is, without --api")


def board() -> Board:
    """The board to act on."""
    if _chosen:
        from cli.board._remote import Remote  # noqa: PLC0415 - only where it is asked for

        return Remote(*_chosen[0])
    from cli.board._local import Local  # noqa: PLC0415 - the same

    return Local()
