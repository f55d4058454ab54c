"""What people type: addresses, names and slugs, checked field by field."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, TypeVar

from callboard.errors import Invalid
from callboard.ledger.facts import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T", bound=str)
# Only what would break a mail's header or a look-up is refused; whether an address exists, only mail can tell.
_EMAIL = re.compile(r"[^\s@<>(),;:\\\"\[\]\x00-\x1f\x7f]{1,64}@[^\s@<>(),;:\\\"\[\]\x00-\x1f\x7f]{1,190}")
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LONGEST_NAME, _LONGEST_SLUG = 100, 63


def email(text: str) -> str:
    """The address, without spaces around it; case is kept, and counts for nothing when it is looked up.

    Raises:
        Invalid: It is none.
    """
    found = unicodedata.normalize("NFC", text.strip())
    if not (_EMAIL.fullmatch(found) and found.isprintable()):
        raise Invalid("email", f"email {text!r} is no mail address: write it like ops@example.org.")
    return found


def name(text: str, *, field: str = "name", required: bool = True) -> str:
    """A name that fits in one line.

    Raises:
        Invalid: It is empty, too long or holds what cannot be printed.
    """
    found = " ".join(text.split())
    if len(found) > _LONGEST_NAME or not found.isprintable() or (required and not found):
        raise Invalid(field, f"{field} {text[:40]!r} must be one line of 1 to {_LONGEST_NAME} characters.")
    return found


def slug(given: str | None, name: str) -> str:
    """The slug that was given, or one made of the name.

    Raises:
        Invalid: It is none, or the name has no letter that a slug can be made of.
    """
    found = _derived(name) if given is None else given.strip()
    if len(found) > _LONGEST_SLUG or not _SLUG.fullmatch(found):
        told = f"slug {given!r}" if given is not None else f"no slug can be made of the name {name!r}: give one; it"
        raise Invalid("slug", f"{told} must be 1 to {_LONGEST_SLUG} of a-z, 0-9 and hyphens between them.")
    return found


def _derived(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_LONGEST_SLUG].strip("-")


def one_of(text: str, known: Sequence[_T], field: str) -> _T:
    """The word, which must be one of a closed set.

    Raises:
        Invalid: It is not.
    """
    for word in known:
        if word == text:
            return word
    raise Invalid(field, f"{field} {text!r} is none of {', '.join(known)}.")


def sought(text: str | None) -> str | None:
    """A text to look something up by, as Postgres takes it; None stays None."""
    return None if text is None else readable(text)
