"""Queries of panels on the ledger, with Grafana's macros as its Postgres data source expands them."""

from __future__ import annotations

import re

from tests.observability._ledger import FAILED_RUN
from tests.observability._panels import targets
from tests.observability._world import END, START

SQL = [target for target in targets() if target.sql]
_MACROS = (
    (r"\$__timeFilter\((\w+)\)", rf"\1 between to_timestamp({START}) and to_timestamp({END})"),
    (r"\$__timeGroupAlias\((\w+),\s*[^)]+\)", r"floor(extract(epoch from \1)/60)*60 as time"),
    (r"\$__timeTo\(\)", f"to_timestamp({END})"),
    (r"\$\{run_id\}", str(FAILED_RUN)),
    (r"\$\{\w+:regex\}", ".+"),
)


def expanded(query: str) -> str:
    """The query as Postgres gets it, with everything chosen."""
    for macro, plain in _MACROS:
        query = re.sub(macro, plain, query)
    assert "$" not in query.replace(")$'", "")
    return query
