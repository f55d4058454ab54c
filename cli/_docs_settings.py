"""docs/reference/settings.md: every variable of the engine and of the catalogues that come with it."""

from __future__ import annotations

import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr

from callboard.settings import Settings, get_settings
from cli._markdown import page, table
from cli._problems import variables
from cli.check._settings import catalogue_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

_INTRODUCTION = (
    "Everything is set by environment variables, read once when a process starts; nothing else is read. `callboard "
    "check` tells of values that do not fit and of variables that nothing reads. Durations are in seconds, sizes in "
    "bytes, lists are comma separated."
)
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_WORDS: dict[type, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    tuple: "list",
    dict: "names and values",
    SecretStr: "secret text",
}


def settings_page() -> str:
    """The text of the page."""
    parts = [_INTRODUCTION, "## The engine", _table_of(Settings)]
    for kind in catalogue_classes(Settings.model_construct()):
        parts += [f"## Catalogue `{kind.__module__.removesuffix('.settings')}`", _table_of(kind)]
    return page("Settings", "python -m cli.docs", parts)


def _table_of(kind: type[BaseSettings]) -> str:
    return table(["Variable", "Value", "Default", "Meaning"], _rows(kind))


def _rows(kind: type[BaseSettings]) -> Iterator[list[str]]:
    for variable, name in variables(kind).items():
        field = kind.model_fields[name]
        yield [f"`{variable}`", _value(field), _default(field), field.description or ""]


def _value(field: FieldInfo) -> str:
    bounds = [
        f"{word} {getattr(limit, name)}"
        for limit in field.metadata
        for name, word in _BOUNDS.items()
        if hasattr(limit, name)
    ]
    return ", ".join([_type(field.annotation), *bounds])


def _type(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in inner)
    if origin in (types.UnionType, Union):
        return " or ".join(_type(kind) for kind in inner if kind is not type(None))
    return _WORDS.get(origin or annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Path) and field.default_factory is not None:
        return f"`$CALLBOARD_HOME/{value.relative_to(get_settings().home)}`"
    if value is None or value in ((), {}, ""):
        return "unset"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
