"""Variables: those that do not fit, those that nothing reads, and those that point at nothing."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from callboard.settings import Settings, get_settings
from cli import _problems
from cli.check._finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from cli.check._finding import Finding

_ANSWER_SECONDS = 2.0
_OF_THE_COMMAND_LINE = ("CALLBOARD_API_URL", "CALLBOARD_API_KEY")


def engine() -> Iterator[Finding]:
    """The engine's settings; those that do not fit are taken out of this process's environment afterwards."""
    yield from _check_class(Settings)


def unread(settings: Settings) -> Iterator[Finding]:
    """Variables with our prefix that neither the engine nor a catalogue reads."""
    classes: list[type[BaseSettings]] = [Settings, *catalogue_classes(settings)]
    known = [name for settings in classes for name in _problems.variables(settings)] + list(_OF_THE_COMMAND_LINE)
    found = list(_problems.unknown(os.environ, known))
    for problem in found:
        yield error("settings", problem.what, problem.mend)
    if not found:
        yield ok("settings", "every CALLBOARD_ variable that is set is read by something")


def _check_class(settings: type[BaseSettings]) -> Iterator[Finding]:
    try:
        settings()
    except ValidationError as failure:
        for problem in _problems.problems(failure, settings):
            yield error("settings", problem.what, problem.mend)
            os.environ.pop(problem.variable, None)  # ours alone: the other checks go on with its default
    else:
        yield ok("settings", f"{settings.__name__} fits")


def mended() -> Settings:
    """The engine's settings, the default in the place of each that does not fit."""
    get_settings.cache_clear()
    try:
        return get_settings()
    except ValidationError:  # one that fits by itself does not fit the others' defaults
        for variable in _problems.variables(Settings):
            os.environ.pop(variable, None)
        return get_settings()


def catalogue_classes(settings: Settings) -> list[type[BaseSettings]]:
    """The settings classes of the actor modules: each `BaseSettings` declared in their `settings.py`.

    Load the modules first: importing one a second time, after it failed, would give another error than the true one.
    """
    found: list[type[BaseSettings]] = []
    for name in settings.actors:
        module = _settings_module(name)
        if module is not None:
            found += [
                value
                for value in vars(module).values()
                if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.__name__
            ]
    return found


def _settings_module(name: str) -> ModuleType | None:
    try:
        return import_module(f"{name}.settings") if find_spec(f"{name}.settings") else None
    except Exception:  # noqa: BLE001 - the check of the actor modules tells of it
        return None


def catalogues(settings: Settings) -> Iterator[Finding]:
    """The catalogues' settings, and whether what they name is there."""
    for kind in catalogue_classes(settings):
        found = list(_check_class(kind))
        yield from found
        if all(finding.level == "ok" for finding in found):
            yield from _places(kind)
            yield from _services(kind)


def _places(kind: type[BaseSettings]) -> Iterator[Finding]:
    """Folders that somebody set on purpose and that are not there; a default may well be missing."""
    values = kind()
    for variable, field in _problems.variables(kind).items():
        value = getattr(values, field)
        if variable in os.environ and isinstance(value, Path) and not value.parent.exists():
            yield warning("settings", f"{variable}={value} does not exist", "correct the path, or make the folder.")


def _services(kind: type[BaseSettings]) -> Iterator[Finding]:
    values = kind()
    for variable, field in _problems.variables(kind).items():
        if field.endswith("_url") and getattr(values, field):
            yield _answers(variable, str(getattr(values, field)))


def _answers(variable: str, url: str) -> Finding:
    try:
        httpx.get(url, timeout=_ANSWER_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        reason = str(failure) or type(failure).__name__
        return warning(
            "settings", f"{variable}={url} does not answer ({reason})", "start that service, or set the variable."
        )
    return ok("settings", f"{variable}={url} answers")
