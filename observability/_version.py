"""The version of the installed package, for log lines and traces."""

from __future__ import annotations


def version() -> str:
    """Its number; `unknown` where it is not installed but found on the path."""
    from importlib import metadata  # noqa: PLC0415 - it brings the mail parser, which a small process does without

    try:
        return metadata.version("callboard")
    except metadata.PackageNotFoundError:
        return "unknown"
