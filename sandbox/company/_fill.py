"""The whole company, in one transaction: it is there altogether, or not at all."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from sandbox.company._memories import write_memories
from sandbox.company._outgoing import write_outgoing
from sandbox.company._people import make_tenants, write_people
from sandbox.company.revenue import write_revenue

if TYPE_CHECKING:
    from sandbox.company._plan import Plan


class Filled(NamedTuple):
    """How many of each there are."""

    tenants: int
    users: int
    memories: int
    events: int


def fill(url: str, plan: Plan) -> Filled:
    """Put the company into a migrated database; the driver in the URL does not matter.

    Raises:
        psycopg.errors.UniqueViolation: The company of this seed is there already.
    """
    rng = random.Random(plan.seed)  # noqa: S311 - made-up data
    scheme, _, rest = url.partition("://")
    with closing(psycopg.connect(f"{scheme.partition('+')[0]}://{rest}")) as connection, connection.transaction():
        tenants = make_tenants(plan, rng)
        users = write_people(connection, plan, tenants, rng)
        memories = write_memories(connection, plan, tenants, rng)
        write_outgoing(connection, plan, tenants, rng)
        events = write_revenue(connection, plan, rng)
    return Filled(len(tenants), users, memories, events)
