"""A job's arguments as they are written on a command line: `key=value`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from callboard.errors import ArgumentsError

if TYPE_CHECKING:
    from collections.abc import Iterable


def parse_arguments(words: Iterable[str]) -> dict[str, Any]:
    """Read `key=value` words: a value that is JSON is what it says, any other is text.

    So `limit=5` is a number, `dry_run=true` a truth, `ids=[1,2]` a list, `project=atlas` a text, `id='"5"'` the text 5.

    Raises:
        ArgumentsError: A word has no `=`, no proper name before it, or names an argument a second time.
    """
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise ArgumentsError(f"--arg {word!r} is not key=value: write it like --arg limit=5.")
        if name in given:
            raise ArgumentsError(f"--arg {name}= is given twice: leave one of them out.")
        given[name] = _value(text)
    return given


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> None:
    """NaN and the infinities are no JSON, so no broker carries them: they stay text."""
    raise ValueError(name)
