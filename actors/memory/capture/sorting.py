"""What can be said of candidates before one looks at their users' other memories."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.memory.capture.decisions import POLICY, Decider
from actors.memory.capture.queue import Pending, Verdict, deny_words, failed
from actors.memory.settings import get_memory_settings
from actors.memory.terms import terms_of
from actors.memory.texts import Keyring, Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


class Opened(NamedTuple):
    """A candidate and its text; `gated` if a memory of it would be."""

    candidate: Pending
    content: str
    gated: bool


class Sorted(NamedTuple):
    """Some are decided on already, the others are worth a memory unless there is one like it."""

    verdicts: list[Verdict]
    worthy: list[Opened]


def sort_out(connection: Connection, candidates: Sequence[Pending], keyring: Keyring) -> Sorted:
    """Decide by text, key and owner; that a text cannot be opened is a verdict too."""
    settings, tenants = get_memory_settings(), {candidate.tenant_id for candidate in candidates}
    denied, terms = deny_words(connection, tenants), terms_of(connection, tenants)
    deciders = {tenant: Decider.of(settings, denied.get(tenant, ())) for tenant in tenants}
    found = Sorted([], [])
    for candidate in candidates:
        try:
            content = keyring.decrypt(candidate.user_id, candidate.content_ciphertext)
        except (Unreadable, UnicodeDecodeError) as error:
            found.verdicts.append(_unreadable(candidate, error))
            continue
        discard = POLICY if candidate.owner_is_gone else None
        discard = discard or deciders[candidate.tenant_id].discard(content, candidate.extracted_key)
        if discard:
            found.verdicts.append(Verdict(candidate.id, discard))
        else:
            gated = candidate.importance < terms[candidate.tenant_id].gating_threshold
            found.worthy.append(Opened(candidate, content, gated))
    return found


def _unreadable(candidate: Pending, error: Exception) -> Verdict:
    """The key of a deleted user may be gone, and then nothing is to be kept."""
    return Verdict(candidate.id, POLICY) if candidate.owner_is_gone else failed(candidate.id, str(error))
