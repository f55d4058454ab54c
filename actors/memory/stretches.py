"""Walking over all memories by id, a stretch of them in each transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from callboard import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from callboard import Run

# The bounds of all stretches at once: it reads an index only, and tells how many there are in all.
_STRETCHES = text("""
select coalesce(lag(max(id)) over (order by max(id)), min(id) - 1) as after, max(id) as last, count(*) as memories
from (select id, (row_number() over (order by id) - 1) / :size as part from memory.memories) numbered
group by part order by part
""")


class Stretch(NamedTuple):
    """Memories with ids above `after`, up to `last`."""

    after: int
    last: int
    memories: int


def walk(run: Run, size: int, work: Callable[[Connection, Stretch], Mapping[str, int]]) -> None:
    """Do the work on every stretch of up to `size` memories, each in a transaction, until the run is cancelled.

    Memories that are added meanwhile are left to the next walk. What the work returns is counted after its commit.
    """
    with transaction() as connection:
        stretches = [Stretch(*row) for row in connection.execute(_STRETCHES, {"size": size})]
    done, total = 0, sum(stretch.memories for stretch in stretches)
    for stretch in stretches:
        if run.cancelled:
            return
        with transaction() as connection:
            counts = work(connection, stretch)
        run.count(**counts)
        done += stretch.memories
        run.progress(done, total, f"{done} of {total} memories")
