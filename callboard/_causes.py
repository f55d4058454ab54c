"""The exceptions that led to an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_HTTPX = ("httpx", "httpx2")


def causes(exception: BaseException) -> Iterator[BaseException]:
    """`exception`, then what it was raised `from`, and so on; each once, even where somebody tied a ring."""
    seen: set[int] = set()
    current: BaseException | None = exception
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def is_httpx(exception: BaseException, *names: str) -> bool:
    """True for exceptions of these names of httpx, or of httpx2, its successor; importing one would cost 18 MB."""
    parents = type(exception).__mro__
    return any(parent.__module__.partition(".")[0] in _HTTPX and parent.__name__ in names for parent in parents)
