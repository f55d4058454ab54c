"""One ledger with rows of every resource, for all tests that only look."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from tests.integration.filters import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="session")
def filled(new_database: Callable[[str, str], str], template_database: str) -> tuple[Engine, Rows]:
    """Its engine, and the rows as plain mappings."""
    engine = create_engine(new_database("filters", template_database), poolclass=NullPool)
    with engine.begin() as connection:
        return engine, rows.fill(connection, random.Random(5))
