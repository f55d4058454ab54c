"""Settings that do not fit, told by the variable that holds them."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from observability.redaction import REDACTED, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic import ValidationError


# All have the prefix in common, so what is alike otherwise is more alike than difflib's usual 0.6.
_ALIKE = 0.85


@dataclass(frozen=True)
class Problem:
    """What is wrong with a variable, and what mends it."""

    variable: str
    what: str
    mend: str


def variables(settings: type[BaseSettings]) -> dict[str, str]:
    """The variables that a settings class reads: name in the environment to name of the field."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    return {f"{prefix}{name}".upper(): name for name in settings.model_fields}


def problems(error: ValidationError, settings: type[BaseSettings] | None = None) -> list[Problem]:
    """One problem for each field that does not fit; values that look secret are not shown."""
    known = settings or _class_called(error.title, BaseSettings)
    return [_problem(dict(detail), _variable_of(detail["loc"], known), known) for detail in error.errors()]


def _variable_of(place: tuple[int | str, ...], known: type[BaseSettings] | None) -> str:
    field = str(place[0]) if place else ""
    if field in os.environ:  # a variable that is read under a name without our prefix
        return field
    prefix = str(known.model_config.get("env_prefix", "")) if known else ""
    return f"{prefix}{field}".upper()


def _is_secret(variable: str, known: type[BaseSettings] | None) -> bool:
    field = None if known is None else known.model_fields.get(variables(known).get(variable, ""))
    return field is not None and SecretStr.__name__ in str(field.annotation)


def _class_called(name: str, root: type[BaseSettings]) -> type[BaseSettings] | None:
    return next((found for found in root.__subclasses__() if found.__name__ == name), None)


def _problem(detail: Mapping[str, Any], variable: str, known: type[BaseSettings] | None) -> Problem:
    value = os.environ.get(variable, detail.get("input"))
    shown = REDACTED if _is_secret(variable, known) else redact({variable: value})[variable]
    reason = str(detail["msg"]).removeprefix("Value error, ")
    return Problem(variable, f"{variable}={shown} does not fit", f"{reason[:1].lower()}{reason[1:].rstrip('.')}.")


def unknown(environment: Mapping[str, str], known: Iterable[str], prefix: str = "CALLBOARD_") -> Iterator[Problem]:
    """Variables with our prefix that nothing reads, each with the one that was probably meant."""
    names = list(known)
    for variable in sorted(environment):
        if variable.upper().startswith(prefix) and variable.upper() not in names:
            close = difflib.get_close_matches(variable.upper(), names, 1, _ALIKE)
            mend = f"did you mean {close[0]}?" if close else "remove it; docs/reference/settings.md lists all settings."
            yield Problem(variable, f"{variable} is read by nothing", mend)
