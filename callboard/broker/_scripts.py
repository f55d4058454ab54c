"""The broker's Lua scripts, by name; each runs atomically on the server."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis


class Script(NamedTuple):
    """A script's text and the name the server knows it by."""

    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua` after the prelude; a first line of flags stays the first line."""
    folder = files("callboard.broker") / "lua"
    text = (folder / f"{name}.lua").read_text(encoding="utf-8")
    flags, rest = text.split("\n", 1) if text.startswith("#!") else ("#!lua", text)
    whole = f"{flags}\n{(folder / 'prelude.lua').read_text(encoding='utf-8')}{rest}"
    return Script(whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


def run(client: redis.Redis, name: str, namespace: str, args: Sequence[Any]) -> Any:  # noqa: ANN401 - what Lua returns
    """Run a script; a server that has forgotten it is told anew."""
    wanted = script(name)
    try:
        return client.execute_command("EVALSHA", wanted.sha, 1, namespace, *args)
    except NoScriptError:
        return client.execute_command("EVAL", wanted.text, 1, namespace, *args)
