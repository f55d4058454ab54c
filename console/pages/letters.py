"""Dead letters: the table, one with its history, and replays of one, of some, or of all that the filter matches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from callboard.errors import ArgumentsError
from callboard.filters import parse
from callboard.job import all_jobs
from callboard.ledger import bulk_replays, dead_letters, issues
from callboard.operations import letters, replays
from callboard.views.replays import tell, under_way
from console import deps
from console._words import short
from console.deps import Ledger  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages import _queries
from console.pages._kit import RUNS, Back, Operator, Reader, Told, Why, act, show
from console.pages._listing import look
from observability.redaction import REDACTED

if TYPE_CHECKING:
    from collections.abc import Mapping


router = APIRouter(include_in_schema=False)
PATH = "/admin/dead_letters"
Query_ = Annotated[str, Form(max_length=4000)]


@router.get(PATH)
def listing(request: Request, ledger: Ledger, _me: Reader, q: str = "", cursor: str = "") -> Response:
    """The table."""
    found = look(ledger, "dead_letters", PATH, q=q, cursor=cursor)
    return show(request, ledger, "letters.html", list=found, running=under_way(ledger))


@router.get(f"{PATH}/replay")
def plan(
    request: Request, ledger: Ledger, _me: Operator, q: str = "", ids: Annotated[list[int] | None, Query()] = None
) -> Response:
    """What a bulk replay would do: a dry run, and the form that starts it."""
    chosen = parse(_asked(q, ids), "dead_letters")
    return show(request, ledger, "letters_replay.html", chosen=chosen, plan=letters.plan(chosen))


@router.get(f"{PATH}/discard")
def discard_plan(
    request: Request, ledger: Ledger, _me: Operator, q: str = "", ids: Annotated[list[int] | None, Query()] = None
) -> Response:
    """What would be given up, and the form that does it."""
    chosen = parse(_asked(q, ids), "dead_letters")
    return show(request, ledger, "letters_discard.html", chosen=chosen, plan=letters.plan(chosen))


def _asked(q: str, ids: list[int] | None) -> str:
    return "id:" + ",".join(map(str, ids)) if ids else q


@router.post(f"{PATH}/replay")
def replay_all(
    request: Request,
    _me: Operator,
    *,
    q: Query_ = "",
    rate: Annotated[str, Form(max_length=12)] = "",
    limit: Annotated[str, Form(max_length=12)] = "",
    canary: Annotated[bool, Form()] = False,
    stop_on_same: Annotated[bool, Form()] = False,
    why: Why = "",
) -> Response:
    """Let the workers do a bulk replay, and go to its page."""
    started = replays.start(
        parse(q, "dead_letters"),
        who=deps.who(request),
        why=why,
        rate=_number("rate", rate),
        canary=canary,
        stop_on_same=stop_on_same,
        limit=None if not limit.strip() else max(1, int(_number("limit", limit) or 0)),
    )
    return RedirectResponse(f"{PATH}/bulk/{started}", 303)


def _number(name: str, given: str) -> float | None:
    if not given.strip():
        return None
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentsError(f"{name}={given!r} must be a number above 0, or empty for no bound.")
    return value


@router.get(PATH + "/bulk/{number}")
def progress(request: Request, ledger: Ledger, _me: Reader, number: int) -> Response:
    """How far a bulk replay is."""
    return show(request, ledger, "letters_bulk.html", one=tell(bulk_replays.get(ledger, number)))


@router.post(PATH + "/bulk/{number}/stop")
def stop(request: Request, _me: Operator, number: int, back: Back = PATH) -> Response:
    """End a bulk replay after the batch under way."""

    def do() -> Told:
        replays.stop(number, who=deps.who(request))
        return Told("The replay ends after the batch under way; what it has done stays done.")

    return act(back, do)


@router.post(f"{PATH}/discard")
def discard_all(request: Request, _me: Operator, q: Query_ = "", why: Why = "", back: Back = PATH) -> Response:
    """Give up all open letters that fit."""

    def do() -> Told:
        count = letters.discard_many(parse(q, "dead_letters"), who=deps.who(request), why=why)
        return Told(f"{count:,} dead letter{'' if count == 1 else 's'} discarded; the rows stay.")

    return act(back, do)


@router.get(PATH + "/{letter_id}")
def detail(request: Request, ledger: Ledger, _me: Reader, letter_id: int) -> Response:
    """One letter."""
    letter = {name: value for name, value in dead_letters.get(ledger, letter_id).items() if name != "payload"}
    return show(
        request,
        ledger,
        "letter.html",
        letter=letter,
        history=dead_letters.history(ledger, dead_letters.get(ledger, letter_id)),
        lineage=dead_letters.lineage(ledger, letter_id),
        issue=None if letter["issue_id"] is None else issues.get(ledger, letter["issue_id"]),
        known=letter["job"] in all_jobs(),
        acts=_queries.acts_on(ledger, "dead_letter", letter_id),
    )


@router.post(PATH + "/{letter_id}/replay")
def replay(
    request: Request,
    _me: Operator,
    letter_id: int,
    args: Annotated[str, Form(max_length=262_144)] = "",
    shown: Annotated[str, Form(max_length=262_144)] = "",
    why: Why = "",
    back: Back = PATH,
) -> Response:
    """Replay one, with its own arguments or with some of them changed."""

    def do() -> Told:
        changed = _changed(args, shown) if args.strip() else None
        made = letters.replay(letter_id, who=deps.who(request), why=why, args=changed or None)
        told = f" with {', '.join(changed)} changed" if changed else ""
        return Told(f"Letter {letter_id} is replayed{told}.", f"{RUNS}/runs/{made.id}", f"Show run {short(made.id)}")

    return act(back, do)


def _changed(args: str, shown: str) -> dict[str, Any]:
    """The arguments that differ from those that were shown; what was shown redacted is left as it is."""
    wanted, before = _object(args), _object(shown or "{}")
    changed = {name: value for name, value in wanted.items() if name not in before or before[name] != value}
    hidden = [name for name, value in changed.items() if REDACTED in json.dumps(value)]
    if hidden:
        raise ArgumentsError(
            f"{', '.join(hidden)} holds {REDACTED}, which stands for a secret that is not shown; write the whole value."
        )
    return changed


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArgumentsError(f"the arguments are no JSON: {error}; write an object of name and value.") from None
    if not isinstance(value, dict):
        raise ArgumentsError("the arguments must be a JSON object of name and value.")
    return value


@router.post(PATH + "/{letter_id}/discard")
def discard(request: Request, _me: Operator, letter_id: int, why: Why = "", back: Back = PATH) -> Response:
    """Give one up for good."""

    def do() -> Told:
        letters.discard(letter_id, who=deps.who(request), why=why)
        return Told(f"Letter {letter_id} is discarded; its row stays.")

    return act(back, do)
