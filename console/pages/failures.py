"""Failed attempts: the table, one of them, and retries of those that may pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Query, Request, Response

from callboard.errors import ArgumentsError
from callboard.ledger import issues
from callboard.operations import failures
from console import deps
from console._words import short
from console.deps import Ledger  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages import _queries
from console.pages._kit import RUNS, Back, Operator, Reader, Told, Why, act, show
from console.pages._listing import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callboard.operations.failures import RetryResult

router = APIRouter(include_in_schema=False)
PATH = f"{RUNS}/failures"
_MOST_AT_ONCE = 200


@router.get(PATH)
def listing(
    request: Request, ledger: Ledger, _me: Reader, q: str = "", cursor: Annotated[str, Query()] = ""
) -> Response:
    """The table."""
    return show(request, ledger, "failures.html", list=look(ledger, "failures", PATH, q=q, cursor=cursor))


@router.get(PATH + "/{failure_id}")
def detail(request: Request, ledger: Ledger, _me: Reader, failure_id: int) -> Response:
    """One failed attempt."""
    failure = _queries.failure(ledger, failure_id)
    issue = None if failure["issue_id"] is None else issues.get(ledger, failure["issue_id"])
    others = _queries.failures_of_run(ledger, failure["run_id"])
    return show(request, ledger, "failure.html", failure=failure, issue=issue, others=others)


@router.post(f"{PATH}/retry")
def retry(
    request: Request,
    _me: Operator,
    ids: Annotated[list[int] | None, Form()] = None,
    force: Annotated[bool, Form()] = False,  # noqa: FBT002 - a field of the form
    why: Why = "",
    back: Back = PATH,
) -> Response:
    """Run the chosen ones again, each as a new run."""

    def do() -> Told:
        if not ids:
            raise ArgumentsError("No failure is chosen; tick those that are to be retried.")
        return _told(failures.retry(ids[:_MOST_AT_ONCE], who=deps.who(request), why=why, force=force))

    return act(back, do)


def _told(results: Sequence[RetryResult]) -> Told:
    done = [result for result in results if result.result == "retried"]
    refused = [result for result in results if result.result != "retried"]
    if not done:
        raise ArgumentsError(refused[0].detail if len(refused) == 1 else f"None was retried. {_reasons(refused)}")
    first = done[0].detail
    rest = f" {len(refused)} were refused: {_reasons(refused)}" if refused else ""
    said = "The failure is retried." if len(done) == 1 else f"{len(done)} failures are retried."
    return Told(said + rest, f"{RUNS}/runs/{first}", f"Show run {short(first)}")


def _reasons(refused: Sequence[RetryResult]) -> str:
    return " · ".join(result.detail for result in refused[:3])
