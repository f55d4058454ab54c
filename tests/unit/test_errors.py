"""The tree of errors, and what its messages say."""

from __future__ import annotations

import inspect
import re
from uuid import uuid4

from callboard import errors


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    drawn = re.findall(r"(?:\+-- |^ *)([A-Z]\w+)(?=  |$)", errors.__doc__ or "", re.MULTILINE)
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__]
    assert sorted(drawn) == sorted(cls.__name__ for cls in classes)
    assert all(issubclass(cls, errors.CallboardError) for cls in classes)


def test_the_drawn_parents_are_the_parents() -> None:
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r" {0,4}((?:\|   |    )*)\+-- (\w+)", line):
            depth = len(found[1]) // 4 + 1
            parents[depth - 1 :] = [found[2]]
            expected = "CallboardError" if depth == 1 else parents[depth - 2]
            assert getattr(errors, found[2]).__mro__[1].__name__ == expected


def test_builtin_parents_let_callers_catch_them_as_usual() -> None:
    assert issubclass(errors.DeclarationError, ValueError)
    assert issubclass(errors.ArgumentsError, TypeError)


def test_a_duplicate_run_names_the_run_that_is_there() -> None:
    run = uuid4()
    error = errors.DuplicateRun("sync", run, scope="7")
    assert (error.job, error.existing, error.scope) == ("sync", run, "7")
    assert str(error) == (
        f"job 'sync' already has run {run} pending or running for scope '7'; wait for it, or cancel it first"
    )
    assert "scope" not in str(errors.DuplicateRun("sync", run))


def test_job_errors_carry_the_wait_they_were_told() -> None:
    assert errors.TransientError("busy", retry_after=3).retry_after == 3
    assert errors.PermanentError("no").retry_after is None
    assert str(errors.AuthenticationError("expired")) == "expired"
