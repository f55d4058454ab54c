"""Whether the process lives, whether it can do its work, and what the API offers."""

from __future__ import annotations

from functools import lru_cache

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from callboard.ledger import migrate
from callboard.ledger.database import AWAY, transaction
from console.templating import page

router = APIRouter(include_in_schema=False)
_REVISION = text("select version_num from alembic_version")
_METHODS = ("get", "post", "put", "patch", "delete")


@router.get("/healthz")
async def healthz() -> PlainTextResponse:
    """The process answers."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
def readyz() -> PlainTextResponse:
    """Postgres answers, and its tables are those of this code."""
    wrong = _wrong()
    return PlainTextResponse("ok\n") if wrong is None else PlainTextResponse(f"{wrong}\n", 503)


@router.get("/v1/docs")
def docs(request: Request) -> HTMLResponse:
    """The API's document, for people: every operation, its parameters and its answers."""
    document = request.app.openapi()
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    ]
    return page(request, "api_docs.html", document=document, operations=operations)


def _wrong() -> str | None:
    try:
        with transaction() as connection:
            found = connection.execute(_REVISION).scalar_one_or_none()
    except AWAY:
        return "the database does not answer"
    except ProgrammingError:
        found = None  # there is no such table
    if found == _head():
        return None
    return f"the database is at revision {found}, this code at {_head()}: run `callboard migrate`"


@lru_cache(maxsize=1)
def _head() -> str:
    return migrate.head()
