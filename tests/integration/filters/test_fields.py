"""Every field of every resource chooses exactly the rows that its meaning does."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, literal, select

from callboard.filters import FIELDS, RESOURCES, Resource, parse
from tests.integration.filters import words
from tests.integration.filters.meaning import fits
from tests.integration.filters.rows import NOW, TABLES

if TYPE_CHECKING:
    from callboard.filters import Filter

    Filled = tuple[Engine, dict[str, list[dict[str, Any]]]]


def chosen_by_sql(filled: Filled, filters: list[Filter]) -> list[set[Any]]:
    with filled[0].begin() as connection:
        table = TABLES[filters[0].resource]
        queries = [select(table.c.id).where(*chosen.where(literal(NOW))) for chosen in filters]
        return [set(connection.execute(query).scalars()) for query in queries]


def meant(filled: Filled, chosen: Filter) -> set[Any]:
    return {row["id"] for row in filled[1][chosen.resource] if fits(chosen, row)}


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_field_chooses_the_rows_that_its_meaning_does(filled: Filled, resource: Resource) -> None:
    every = len(filled[1][resource])
    for key in FIELDS[resource]:
        filters = [parse(f"{minus}{word}", resource) for word in words.of(resource, key) for minus in ("", "-")]
        answers = chosen_by_sql(filled, filters)
        for chosen, found in zip(filters, answers, strict=True):
            assert found == meant(filled, chosen), chosen.text
        assert any(0 < len(found) < every for found in answers), f"no word of {key} tells the rows apart"


@pytest.mark.parametrize("resource", RESOURCES)
def test_words_are_joined_by_and(filled: Filled, resource: Resource) -> None:
    dice = random.Random(7)
    filters = [parse(words.some(dice, resource), resource) for _ in range(150)]
    for chosen, found in zip(filters, chosen_by_sql(filled, filters), strict=True):
        assert found == meant(filled, chosen), chosen.text


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_filter_and_its_negation_choose_every_row_once(filled: Filled, resource: Resource) -> None:
    every = {row["id"] for row in filled[1][resource]}
    keys = [key for key in FIELDS[resource] if (resource, key) != ("dead_letters", "state")]
    rest = "state:* " if resource == "dead_letters" else ""
    pairs = [
        [parse(f"{rest}{minus}{word}", resource) for minus in ("", "-")]
        for key in keys
        for word in words.of(resource, key)
    ]
    answers = chosen_by_sql(filled, [chosen for pair in pairs for chosen in pair])
    for (chosen, _), yes, no in zip(pairs, answers[::2], answers[1::2], strict=True):
        assert yes | no == every, chosen.text
        assert not yes & no, chosen.text
