"""The events that the source code logs, found by reading it: `log.warning("sessions.file_torn", path=...)`."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Packages whose events the reference page lists; the sandbox plays other people's systems.
PACKAGES = ("actors", "callboard", "cli", "migrations", "observability", "scheduler")

_LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_ABOUT_THE_LINE = {"exc_info", "stack_info"}


@dataclass(frozen=True, slots=True)
class Found:
    """One event with all levels, modules and fields that any of its calls has."""

    name: str
    levels: tuple[str, ...]
    modules: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    level: str
    module: str
    fields: tuple[str, ...]


def find_events(root: Path) -> list[Found]:
    """Events logged by the packages under `root`, in alphabetical order."""
    calls: dict[str, list[_Call]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for call in _calls(path.read_text(encoding="utf-8"), _module(path, root)):
                calls[call.name].append(call)
    return [_merge(name, calls[name]) for name in sorted(calls)]


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _calls(source: str, module: str) -> Iterator[_Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS:
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str) and _NAME.fullmatch(name.value):
                yield _Call(name.value, _level(node.func.attr), module, _fields(node))


def _level(method: str) -> str:
    return "error" if method == "exception" else method


def _fields(node: ast.Call) -> tuple[str, ...]:
    return tuple(keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg not in _ABOUT_THE_LINE)


def _merge(name: str, calls: list[_Call]) -> Found:
    return Found(
        name,
        levels=tuple(sorted({call.level for call in calls})),
        modules=tuple(sorted({call.module for call in calls})),
        fields=tuple(dict.fromkeys(field for call in calls for field in call.fields)),
    )
