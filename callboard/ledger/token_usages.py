"""Queries on `board.token_usages`: what the language models of a run cost, added up over its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard.ledger.facts import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from callboard.ledger.facts import Ending
    from callboard.ledger.wire import Cursor

_ADD_MANY = """
insert into board.token_usages as t
  (run_id, category, model, correlation_id, calls, prompt_tokens, completion_tokens)
select run_id, category, model, correlation_id, calls, prompt, completion
from json_to_recordset(%(rows)s::json)
    as g (run_id uuid, category text, model text, correlation_id text, calls bigint, prompt bigint, completion bigint)
order by run_id, category, model
on conflict (run_id, category, model) do update
set calls = t.calls + excluded.calls, prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = t.completion_tokens + excluded.completion_tokens, recorded_at = now()
"""


def add_many(cursor: Cursor, endings: Iterable[Ending]) -> None:
    """Add what these attempts used, in the transaction that ends them: only those that did end their run are given."""
    cursor.execute(_ADD_MANY, {"rows": dumps([row for ending in endings for row in _rows(ending)])})


def _rows(ending: Ending) -> Iterator[dict[str, Any]]:
    own = {"run_id": ending.facts.id, "correlation_id": ending.facts.correlation_id}
    for usage in ending.report.tokens or ():
        yield own | usage
