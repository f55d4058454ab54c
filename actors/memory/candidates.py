"""Candidates: what integrations found and might be worth a memory; `process_capture_queue_job` decides on each."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql import insert

from actors.memory.tables import memory_candidates
from actors.memory.tables._schema import ENVIRONMENTS
from actors.memory.tables.integrations import CATEGORIES
from actors.memory.users import hold_users

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection

    from actors.memory.texts import Keyring

#: A longer text is cut: no model that embeds takes more than some 8,000 tokens.
LONGEST_TEXT = 8_000
LONGEST_KEY = 120
_DIGEST = 16

# Out of place in stored text: controls, lone surrogates, and marks that nobody sees, which hide or reorder what is
# read (bidirectional overrides, zero width space, soft hyphen, byte order mark, tags). Joiners stay: Persian and many
# emoji are wrong without them.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SPACE = re.compile(r"\s+")
_NOT_OF_A_KEY = re.compile(r"[\W_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One text of one user; `importance` is from 0 to 1, `source_object_id` that of the row in `external_objects`.

    Raises:
        ValueError: The category, the environment or the importance is none.
    """

    tenant_id: UUID
    user_id: UUID
    project_id: UUID | None = None
    environment: str = "production"
    source_object_id: int | None = None
    source_type: str
    category: str
    content: str
    extracted_key: str | None = None
    importance: float = 0.5

    def __post_init__(self) -> None:
        """Refuse here, where one bad object harms no other, what the table would refuse."""
        if self.category not in CATEGORIES:
            raise ValueError(f"category {self.category!r} must be one of {', '.join(CATEGORIES)}.")
        if self.environment not in ENVIRONMENTS:
            raise ValueError(f"environment {self.environment!r} must be one of {', '.join(ENVIRONMENTS)}.")
        if not (math.isfinite(self.importance) and 0 <= self.importance <= 1):
            raise ValueError(f"importance {self.importance!r} must be a number from 0 to 1.")


def propose(connection: Connection, candidates: Sequence[Candidate], *, keyring: Keyring) -> int:
    """Put candidates into the capture queue, in the caller's transaction; the later of one key supersedes the earlier.

    A text that its user, project and environment have proposed before, whatever became of it, is left out.

    Returns:
        How many are new.

    Raises:
        Unreadable: The keyring has no key of one of the users.
    """
    if not candidates:
        return 0
    hold_users(connection, {candidate.user_id for candidate in candidates})
    new = insert(memory_candidates).on_conflict_do_nothing().returning(memory_candidates.c.id)
    return len(connection.execute(new, [_row(candidate, keyring) for candidate in candidates]).all())


def sanitised(text: str) -> str:
    """The text as it is hashed and stored: NFC, without invisible characters, single spaces, cut to `LONGEST_TEXT`."""
    visible = unicodedata.normalize("NFC", _UNWANTED.sub("", text))
    return _SPACE.sub(" ", visible).strip()[:LONGEST_TEXT].rstrip()


def normalised_key(key: str | None) -> str | None:
    """The key in small letters with `_` between its words, so that "Favourite colour" is `favourite_colour`.

    None if nothing of it is left. Of a long one the end becomes a hash, for others may begin alike.
    """
    plain = unicodedata.normalize("NFKC", sanitised(key or ""))
    folded = unicodedata.normalize("NFKC", plain.casefold())
    made = _NOT_OF_A_KEY.sub("_", folded).strip("_")
    if len(made) > LONGEST_KEY:
        digest = hashlib.sha256(made.encode()).hexdigest()[:_DIGEST]
        made = f"{made[: LONGEST_KEY - _DIGEST - 1].rstrip('_')}_{digest}"
    return made or None


def _row(candidate: Candidate, keyring: Keyring) -> dict[str, Any]:
    content, user = sanitised(candidate.content), candidate.user_id
    return {
        "tenant_id": candidate.tenant_id,
        "user_id": user,
        "project_id": candidate.project_id,
        "environment": candidate.environment,
        "source_object_id": candidate.source_object_id,
        "source_type": candidate.source_type,
        "category": candidate.category,
        "content_ciphertext": keyring.encrypt(user, content),
        "source_input_hash": keyring.hash(user, content),
        "extracted_key": normalised_key(candidate.extracted_key),
        "importance": candidate.importance,
    }
