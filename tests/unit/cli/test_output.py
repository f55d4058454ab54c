"""Words of what is printed."""

from __future__ import annotations

import pytest

from cli._output import counted


@pytest.mark.parametrize(("number", "told"), [(0, "0 errors"), (1, "1 error"), (2000, "2,000 errors")])
def test_one_is_no_plural(number: int, told: str) -> None:
    assert counted(number, "error") == told
