"""Import the actor modules that the settings name, a catalogue's folder with all that is in it."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callboard import bulk_replay, canary, notifications
from callboard.compose import get_broker
from callboard.errors import DeclarationError
from callboard.job import all_jobs

if TYPE_CHECKING:
    from types import ModuleType

    from callboard.job import Job
    from callboard.settings import Settings


def load_actors(settings: Settings) -> dict[str, Job[Any, Any]]:
    """Import every module of `settings.actors`, and return all jobs declared by then, by name.

    The engine's own actors are declared with them, but they are no jobs of anybody's.

    Raises:
        DeclarationError: A module is not there, cannot be imported, or declares a job wrongly.
    """
    for name in settings.actors:
        load_module(name)
    canary.declare(get_broker())
    notifications.declare(get_broker())
    bulk_replay.declare(get_broker())
    return all_jobs()


def load_module(name: str) -> None:
    """Import one actor module; of a package, all modules directly in it.

    What lies in the current folder is found too, after all that is installed.

    Raises:
        DeclarationError: As for `load_actors`.
    """
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):
        sys.path.append(here)
    module = _import(name, name)
    for child in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if not child.name.startswith("_"):
            _import(f"{name}.{child.name}", name)


def _import(name: str, listed: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except DeclarationError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            mend = "correct CALLBOARD_ACTORS, or install the package that holds it"
            raise DeclarationError(
                f"Actor module {listed!r} does not exist; {mend}, or start where it lies: this is {Path.cwd()}."
            ) from None
        raise DeclarationError(f"Actor module {name!r} needs the module {error.name!r}; install it.") from error
    except Exception as error:
        told = f"{type(error).__name__}: {error}{_place(error)}"
        raise DeclarationError(f"Actor module {name!r} cannot be imported: {told}") from error


def _place(error: Exception) -> str:
    """Where in a module the statement stands that failed, e.g. " (jobs.py, line 17)"; a SyntaxError says it itself."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
