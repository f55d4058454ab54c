"""What may be shown of a value: secrets are hidden by the name they stand under, and by their shape inside text.

Used by the log renderers, and by the ledger for the arguments of a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

from observability._secret_keys import hides, is_secret_key
from observability._secret_text import REDACTED, redact_text

__all__ = ["MAX_DEPTH", "REDACTED", "is_secret_key", "redact", "redact_text"]

#: Levels of nesting that are looked into; anything deeper is replaced, for it cannot be vouched for.
MAX_DEPTH = 64
_PAIR = 2
_SCALARS = frozenset([bool, int, float, type(None)])
_CONTAINERS = (Mapping, list, tuple, set, frozenset)
_T = TypeVar("_T")


def redact(value: _T) -> _T:
    """A copy of `value` that may be shown: secrets are "[redacted]", the rest is equal to what came in.

    Mappings come back as dict, lists, tuples and sets as themselves; other objects are passed through unlooked at.
    A container that holds itself is cut with "[circular]", one nested deeper than `MAX_DEPTH` with "[too deep]".
    """
    return cast("_T", _redact(value, ()))


def _redact(value: object, parents: tuple[int, ...]) -> object:
    if isinstance(value, str):
        return redact_text(value)
    if type(value) in _SCALARS:
        return value
    if isinstance(value, bytes):
        # Latin-1 maps each byte to one character and back, so bytes that hold no secret return unchanged.
        return redact_text(value.decode("latin-1")).encode("latin-1")
    return _redact_nested(value, parents) if isinstance(value, _CONTAINERS) else value


def _redact_nested(value: object, parents: tuple[int, ...]) -> object:
    if id(value) in parents:
        return "[circular]"
    return "[too deep]" if len(parents) >= MAX_DEPTH else _redact_container(value, (*parents, id(value)))


def _redact_container(value: object, parents: tuple[int, ...]) -> object:
    if isinstance(value, Mapping):
        return {_redact_key(key): _redact_entry(key, item, parents) for key, item in value.items()}
    if isinstance(value, list):
        return list(_redact_items(value, parents))
    if isinstance(value, tuple):
        return _redact_tuple(value, parents)
    members = [_redact(item, parents) for item in cast("set[object]", value)]
    return frozenset(members) if isinstance(value, frozenset) else set(members)


def _redact_tuple(values: tuple[object, ...], parents: tuple[int, ...]) -> object:
    names: tuple[str, ...] | None = getattr(values, "_fields", None)
    if names is None:
        return tuple(_redact_items(values, parents))
    # The fields of a named tuple are names too.
    return type(values)._make(  # type: ignore[attr-defined]  # _fields and _make come together
        _redact_entry(name, value, parents) for name, value in zip(names, values, strict=True)
    )


def _redact_key(key: object) -> object:
    return redact_text(key) if isinstance(key, str) else key


def _redact_entry(key: object, value: object, parents: tuple[int, ...]) -> object:
    return REDACTED if hides(_name(key), value) else _redact(value, parents)


def _redact_items(values: list[object] | tuple[object, ...], parents: tuple[int, ...]) -> Iterator[object]:
    """Items one by one; what follows a flag (`["--password", "x"]`) or a name (`("Cookie", "x")`) is hidden."""
    is_pair = isinstance(values, tuple) and len(values) == _PAIR
    before = ""
    for value in values:
        yield _redact_entry(before, value, parents)
        name = _name(value)
        before = name if is_pair or (name.startswith("-") and "=" not in name) else ""


def _name(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode("latin-1")
    return key if isinstance(key, str) else ""
