"""What all providers of documents have in common: page by page, by a cursor that only the provider understands."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from callboard import AuthenticationError, BreakerOpen, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: What code that reads a document of another shape raises.
_SHAPE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


class CursorExpired(Exception):  # noqa: N818 - what happened to it
    """The provider does not know the cursor any more: everything has to be read anew."""


class RateLimited(TransientError):  # noqa: N818 - what we are
    """The provider wants us to wait, for `retry_after` seconds where it says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceObject:
    """An issue, a page, a file: normalised. `metadata` holds no text of people's, since it is kept as it is."""

    id: str
    type: str
    title: str = ""
    content: str = ""
    url: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    category: str = "FACT"
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class BadObject:
    """One that could not be read; `id` is None where not even that is known."""

    id: str | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer of a provider.

    Attributes:
        cursor: Where to go on: with the next page if there is `more`, else with what changes from now on.
        more: Whether there is another page now.
        objects: What is in it, without what the catalogue has no use for, such as folders.
        bad: What of it could not be read.
    """

    cursor: str
    more: bool
    objects: tuple[SourceObject, ...] = ()
    bad: tuple[BadObject, ...] = ()


class Source(Protocol):
    """A provider, as one connection sees it.

    Attributes:
        complete: Whether reading without a cursor to its end brings everything there is, so that what did not come is
            gone.
    """

    complete: bool

    def page(self, cursor: str | None) -> Page:
        """The page that the cursor stands before; None begins with everything there is.

        Raises:
            CursorExpired: Begin again without a cursor.
            TransientError, RateLimited, BreakerOpen: Likely to pass.
            PermanentError: Will not: what the connection points to is gone or closed to it.
            AuthenticationError: The user must connect again.
        """
        ...


def read_objects(
    items: Iterable[Any], read: Callable[[Any], SourceObject | None], *, lenient: bool
) -> tuple[tuple[SourceObject, ...], tuple[BadObject, ...]]:
    """Each item read; one that cannot be read is bad and harms no other.

    Args:
        items: As the provider gave them.
        read: Makes an object of one; None if it is of no use.
        lenient: An item for which the provider fails again and again is bad too; otherwise its error is raised, so
            that the page is asked for again later.

    Raises:
        TransientError, AuthenticationError: The provider failed, or refuses the connection as such.
    """
    objects, bad = [], []
    for item in items:
        try:
            made = read(item)
        except (BreakerOpen, RateLimited, AuthenticationError):
            raise
        except TransientError as error:
            if not lenient:
                raise
            bad.append(BadObject(_id_of(item), str(error)))
        except PermanentError as error:
            bad.append(BadObject(_id_of(item), str(error)))
        except _SHAPE as error:  # without its message, which may quote the document
            bad.append(BadObject(_id_of(item), f"has another shape than expected ({type(error).__name__})"))
        else:
            objects += [] if made is None else [made]
    return tuple(objects), tuple(bad)


def pack(**parts: object) -> str:
    """A cursor of several parts."""
    return json.dumps(parts, separators=(",", ":"), sort_keys=True)


def unpack(cursor: str | None) -> dict[str, Any]:
    """The parts of a cursor; none of an absent one, or of one that is not ours.

    Raises:
        CursorExpired: It cannot be read.
    """
    try:
        parts = json.loads(cursor or "{}")
    except ValueError:
        raise CursorExpired from None
    if not isinstance(parts, dict):
        raise CursorExpired
    return parts


def _id_of(item: object) -> str | None:
    found = item.get("id") if isinstance(item, dict) else None
    return str(found) if isinstance(found, str | int) and found != "" else None
