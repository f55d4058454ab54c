"""What language models are told: one text a file, read when it is first needed."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files


@lru_cache
def prompt(name: str) -> str:
    """The text of `<name>.md`."""
    return (files(__name__) / f"{name}.md").read_text(encoding="utf-8")
