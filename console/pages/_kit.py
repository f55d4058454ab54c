"""What every page shares: who may see it, its frame, and the answer to an act."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from callboard.accounts import Principal
from callboard.accounts.permissions import Permission, may, require
from callboard.errors import CallboardError, DuplicateRun, Forbidden
from console import deps
from console.pages import _flash
from console.pages._nav import navigation
from console.pages._people import People
from console.templating import page
from observability.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

RUNS = "/admin/background_jobs"


def _reader(request: Request) -> Principal:
    principal = deps.require_signed_in(request)
    require(principal, Permission.BOARD_READ)
    return principal


def _operator(request: Request) -> Principal:
    principal = deps.require_signed_in(request)
    require(principal, Permission.BOARD_WRITE)
    return principal


def _person(request: Request) -> Principal:
    principal = deps.require_signed_in(request)
    require(principal, Permission.OWN_ACCOUNT)
    return principal


Reader = Annotated[Principal, Depends(_reader)]
Operator = Annotated[Principal, Depends(_operator)]
#: Whoever signed in; never a key.
Person = Annotated[Principal, Depends(_person)]
Why = Annotated[str, Form(max_length=500)]
Back = Annotated[str, Form(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Told:
    """What an act says when it is done: a sentence, and a link to what came of it."""

    text: str
    link: str = ""
    link_text: str = ""


def show(
    request: Request,
    ledger: Connection,
    template: str,
    **context: Any,  # noqa: ANN401 - whatever the template shows
) -> Response:
    """A page in the console's frame."""
    me = deps.require_signed_in(request)
    refresh = "x-board-refresh" in request.headers
    flash = None if refresh else _flash.read(request)
    frame = {
        "me": me,
        "csrf": deps.csrf(request),
        "nav": navigation(request.url.path, ledger, me),
        "here": _here(request),
        "flash": flash,
        "since": request.app.state.hub.position,
        "people": People(ledger),
        "may_write": may(me, Permission.BOARD_WRITE),
        "now": datetime.now(UTC),
    }
    answer = page(request, template, **{**frame, **context})
    if flash is not None:
        _flash.forget(answer)
    return answer


def act(back: str, do: Callable[[], Told]) -> Response:
    """Do it, and go back with a word on what came of it; a refusal is told on the page that it came from.

    Raises:
        Forbidden: Whoever asks may not; they get 403.
    """
    answer = RedirectResponse(back if is_ours(back) else "/", 303)
    try:
        _flash.leave(answer, "ok", do())
    except Forbidden:
        raise
    except DuplicateRun as error:
        told = Told(str(error), f"{RUNS}/runs/{error.existing}", "Show that run")
        _flash.leave(answer, "bad", told)
    except CallboardError as error:
        _flash.leave(answer, "bad", Told(redact_text(str(error))))
    return answer


def is_ours(path: str) -> bool:
    """Whether a redirect there stays within the console."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and "\n" not in path


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
