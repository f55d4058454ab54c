"""Writes the few shapes of YAML that Prometheus and Alertmanager are configured with, so that people can read them.

PyYAML is no dependency of the installed package, and folds long expressions where nobody would.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Tree: TypeAlias = "Mapping[str, Tree] | Sequence[Tree] | str | int | float | bool"

# What no reader of YAML takes for anything but text.
_PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z_/][A-Za-z0-9_./\-]*")
_SPAN = re.compile(r"[0-9]+(?:ms|[smhdw])")
_STEP = "  "
_LINE = 100


def dump(tree: Tree) -> str:
    """The text of a document, with a newline at its end; keys stay in their order."""
    return "\n".join(_lines(tree)) + "\n"


def _lines(tree: Tree) -> list[str]:
    if isinstance(tree, Mapping):
        return [line for key, value in tree.items() for line in _entry(f"{_key(key)}:", value)]
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [line for value in tree for line in _item(value)]
    return [_scalar(tree)]


def _entry(head: str, value: Tree) -> list[str]:
    if isinstance(value, str) and "\n" in value:
        return [f"{head} |-", *(_STEP + line for line in value.split("\n"))]
    if isinstance(value, str | int | float) or not value:
        return [f"{head} {_scalar(value)}"]
    if isinstance(value, Sequence) and all(isinstance(each, str) for each in value):
        flow = f"{head} [{', '.join(_scalar(each) for each in value)}]"
        if len(flow) < _LINE:
            return [flow]
    return [head, *(_STEP + line for line in _lines(value))]


def _item(value: Tree) -> list[str]:
    first, *others = _lines(value)
    return [f"- {first}", *(_STEP + line for line in others)]


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else json.dumps(key)


def _scalar(value: Tree) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str):
        return _text(value)
    return "[]" if isinstance(value, Sequence) else "{}"


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) or _SPAN.fullmatch(value):
        return value
    if '"' in value and not set(value) & set("'\n\\"):
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)
