"""Candidates: what integrations found and might be worth a memory; `process_capture_queue_job` decides on each."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from actors.memory.tables import memory_candidates
from actors.memory.tables._schema import ENVIRONMENTS
from actors.memory.tables.integrations import CATEGORIES
from actors.memory.tables.memories import NO_PROJECT
from actors.memory.users import hold_users

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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
# Which turn it is of a text that was proposed before: the same one, in which it is not wanted again, or the next one if
# its key says something else by now, be it a memory or a candidate still to be decided on. What was judged unworthy of
# a memory took nothing's place, and would be judged so again. Lateral: see _writing_statements.py.
_TURNS = text(f"""
select s.place, c.turn, c.turn + case when s.again or (
    c.decision in ('pending', 'created', 'discarded_redundant') and s.source_input_hash <> coalesce(
        (select p.source_input_hash from memory.memory_candidates p
         where p.decision = 'pending' and p.user_id = s.user_id and p.extracted_key = s.extracted_key
           and p.category = s.category and p.environment = s.environment
           and p.project_id is not distinct from s.project_id
           and (p.id >= c.id or (c.extracted_key, c.category) is distinct from (s.extracted_key, s.category))
         order by p.id desc limit 1),
        (select m.content_hash from memory.memories m
         where m.user_id = s.user_id and m.extracted_key = s.extracted_key and m.extracted_type = s.category
           and m.environment = s.environment and m.project_id is not distinct from s.project_id
           and m.end_user_id is null and m.retention_status = 'active' and m.superseded_by is null
           and not m.is_summary
         order by m.id desc limit 1))
    ) then 1 else 0 end as now
from unnest(cast(:user_id as uuid[]), cast(:project_id as uuid[]), cast(:environment as text[]),
            cast(:category as text[]), cast(:extracted_key as text[]), cast(:source_input_hash as text[]),
            cast(:again as boolean[]))
     with ordinality as s(user_id, project_id, environment, category, extracted_key, source_input_hash, again, place)
cross join lateral (
    select c.id, c.turn, c.decision, c.category, c.extracted_key from memory.memory_candidates c
    where c.user_id = s.user_id and coalesce(c.project_id, '{NO_PROJECT}') = coalesce(s.project_id, '{NO_PROJECT}')
      and c.environment = s.environment and c.source_input_hash = s.source_input_hash
    order by c.turn desc limit 1
) c
""")  # noqa: S608 - a constant
_SCOPE = ("user_id", "project_id", "environment", "category", "again")
_NOT_OF_A_KEY = re.compile(r"[\W_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One text of one user; `importance` is from 0 to 1, `source_object_id` that of the row in `external_objects`.

    `again`: it is proposed even if it was before, since what it was taken from had gone and is back, or what it was
    proposed for then is gone.

    Raises:
        ValueError: The category, the environment or the importance is none.
    """

    tenant_id: UUID
    user_id: UUID
    project_id: UUID | None = None
    environment: str = "production"
    source_object_id: int | None = None
    sync_job_id: UUID | None = None
    source_type: str
    category: str
    content: str
    extracted_key: str | None = None
    importance: float = 0.5
    again: bool = False

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

    A text that its user, project and environment have proposed before, whatever became of it, is left out, unless its
    key says something else meanwhile: then it is news again.

    Returns:
        How many are new.

    Raises:
        Unreadable: The keyring has no key of one of the users.
    """
    if not candidates:
        return 0
    hold_users(connection, {candidate.user_id for candidate in candidates})
    asked = [_Asked(candidate, sanitised(candidate.content), keyring) for candidate in candidates]
    return sum(_insert(connection, part, keyring) for part in _parts(asked))


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


class _Asked:
    """A candidate, its text, and what is to be known of it before anything is encrypted."""

    __slots__ = ("candidate", "content", "hash", "key")

    def __init__(self, candidate: Candidate, content: str, keyring: Keyring) -> None:
        self.candidate, self.content = candidate, content
        self.hash, self.key = keyring.hash(candidate.user_id, content), normalised_key(candidate.extracted_key)

    @property
    def slot(self) -> tuple[object, ...]:
        """Where a memory of it would stand."""
        of = self.candidate
        return of.user_id, of.project_id, of.environment, of.category, self.key


def _parts(asked: Iterable[_Asked]) -> list[list[_Asked]]:
    """All of them, so that no key comes twice in one part: the turn of a text depends on what came before it."""
    parts: list[list[_Asked]] = []
    times: dict[tuple[object, ...], int] = defaultdict(int)
    for each in asked:
        number = times[each.slot]
        if each.key is not None:
            times[each.slot] += 1
        if number == len(parts):
            parts.append([])
        parts[number].append(each)
    return parts


def _insert(connection: Connection, part: Sequence[_Asked], keyring: Keyring) -> int:
    columns = {name: [getattr(each.candidate, name) for each in part] for name in _SCOPE}
    hashes, keys = [each.hash for each in part], [each.key for each in part]
    known = connection.execute(_TURNS, columns | {"source_input_hash": hashes, "extracted_key": keys})
    turns = {row.place - 1: row.now if row.now > row.turn else None for row in known}
    there = ((each, turns.get(place, 0)) for place, each in enumerate(part))
    rows = [_row(each, turn, keyring) for each, turn in there if turn is not None]
    if not rows:
        return 0
    new = insert(memory_candidates).on_conflict_do_nothing().returning(memory_candidates.c.id)
    return len(connection.execute(new, rows).all())


def _row(asked: _Asked, turn: int, keyring: Keyring) -> dict[str, Any]:
    candidate = asked.candidate
    return {
        "tenant_id": candidate.tenant_id,
        "user_id": candidate.user_id,
        "project_id": candidate.project_id,
        "environment": candidate.environment,
        "source_object_id": candidate.source_object_id,
        "sync_job_id": candidate.sync_job_id,
        "source_type": candidate.source_type,
        "category": candidate.category,
        "content_ciphertext": keyring.encrypt(candidate.user_id, asked.content),
        "source_input_hash": asked.hash,
        "turn": turn,
        "extracted_key": asked.key,
        "importance": candidate.importance,
    }
