"""Passwords are hashed with less work than in earnest, where a test is about something else."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher

from callboard.accounts import _passwords

if TYPE_CHECKING:
    from collections.abc import Iterator


@lru_cache(maxsize=1)
def light_hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True, scope="module")
def light_hashes() -> Iterator[None]:
    """For every test below the conftest that imports it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_passwords, "hasher", light_hasher)
        _passwords._nobodys.cache_clear()
        yield
    _passwords._nobodys.cache_clear()
