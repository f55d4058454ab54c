"""The app: the API, the pages and the live updates behind one gate."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import anyio.to_thread
import structlog
from dramatiq.errors import BrokerError
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from redis import RedisError
from starlette.exceptions import HTTPException

from callboard.errors import CallboardError, LedgerUnavailable
from callboard.ledger.database import AWAY
from callboard.loading import load_actors
from console import answers, api, pages, probes, sign_in
from console.deps import NotSignedIn
from console.guard import Guard
from console.live import Hub, stream
from console.security import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fastapi import APIRouter, Request, Response
    from fastapi.telemetry import TelemetryConfig

    from callboard.settings import Settings

# Requests that are worked on at once; each holds a connection while it asks Postgres, so no more than the pool has.
_THREADS: Final = 20
# FastAPI's own spans hold whole addresses, and that of a sign-in link holds its token.
_SILENT: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
_log = structlog.get_logger(__name__)


def make_app(settings: Settings, *, routers: Sequence[APIRouter] | None = None) -> FastAPI:
    """The console of one board.

    Args:
        settings: Those of the process; its ledger and broker are the ones that they name.
        routers: What is served beside sign-in, stream and probes; None: the API and the pages.

    Raises:
        DeclarationError: An actor module is not there or declares a job wrongly.
    """
    load_actors(settings)
    app = FastAPI(
        title="Callboard",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=_lifespan,
        separate_input_output_schemas=False,
        telemetry=_SILENT,
    )
    policy = Policy.of(settings)
    app.state.settings, app.state.policy, app.state.hub = settings, policy, Hub(settings)
    for router in [probes.router, sign_in.router, stream.router, *(_all() if routers is None else routers)]:
        app.include_router(router)
    _handle_errors(app)
    app.add_middleware(Guard, policy=policy)
    return app


def _all() -> list[APIRouter]:
    return [*api.routers(), *pages.routers()]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    hub: Hub = app.state.hub
    await hub.start()
    try:
        yield
    finally:
        await hub.stop()


def _handle_errors(app: FastAPI) -> None:
    app.add_exception_handler(NotSignedIn, _not_signed_in)
    app.add_exception_handler(CallboardError, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    for away in (LedgerUnavailable, *AWAY):
        app.add_exception_handler(away, _ledger_away)
    for closed in (RedisError, BrokerError):
        app.add_exception_handler(closed, _broker_away)


async def _not_signed_in(request: Request, _error: Exception) -> Response:
    return answers.sign_in_first(request)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, CallboardError)  # noqa: S101 - registered for those alone
    return answers.of_error(request, error)


async def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for those alone
    first = error.errors()[0]
    if first["loc"][0] == "path" and not answers.is_api(request):
        return answers.no_id(request, first["input"])
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return answers.refusal(request, 422, f"{place}: {first['msg']}", field=place)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for those alone
    if error.detail == HTTPStatus.NOT_FOUND.phrase:
        return answers.nowhere(request)
    return answers.refusal(request, error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _ledger_away(request: Request, error: Exception) -> Response:
    _log.warning("console.ledger_away", error=str(getattr(error, "orig", error)).partition("\n")[0])
    return answers.away(request, "the database does not answer")


async def _broker_away(request: Request, error: Exception) -> Response:
    _log.warning("console.broker_away", error=str(error).partition("\n")[0])
    return answers.away(request, "the broker does not answer")
