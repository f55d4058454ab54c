"""docs/reference/api.md: every operation of the API, who may ask for it, and what it may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute

from cli._markdown import page, table
from console import api
from console.api._problems import documented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.dependencies.models import Dependant

_INTRODUCTION = """\
The console serves the API under `/v1`, and its exact document, OpenAPI 3.1, at `/v1/openapi.json`; `/v1/docs` shows \
it to people. Programs send `Authorization: Bearer <key>`. [Permissions](permissions.md) says who may do what, and \
what the scopes of a key cut away; [Filters](filters.md) is the language of every `filter`.

- Times are ISO 8601 in UTC, durations are in seconds.
- Lists answer `{items, cursor, has_more, searched_until}`: give `cursor` back for the next page. A search that \
stopped before its end says in `searched_until` how far back it has looked; it may have found nothing so far, and its \
cursor goes on. With `count=true` lists that take a filter also tell how many rows it matches, as `{number, exact}`: \
estimated beyond 10,000.
- What is refused is answered with `{"error": "..."}` and, where one field is to blame, `field`; a run that is in the \
way is `existing_run_id`.
- Arguments, errors, notes and reasons are shown with their secrets taken out; the message itself never leaves the \
ledger."""
_REPLAY = """\
`POST /v1/dead-letters/replay` streams one line of JSON for each letter as it goes (`application/x-ndjson`). It goes \
on as long as it is read: close the connection to stop it after the batch at hand. A letter is replayed at most once, \
so the same request goes on with the rest. `POST /v1/replays` takes the same and leaves it to the workers: it answers \
at once, goes on when nobody listens, and `GET /v1/replays/{replay_id}` tells how far it is."""


def api_page() -> str:
    """The text of the page."""
    parts = [_INTRODUCTION, "## Refusals", "Every operation may answer these, where it says no more:", _refusals()]
    routes = [route for router in api.routers() for route in router.routes if isinstance(route, APIRoute)]
    for tag in dict.fromkeys(str(route.tags[0]) for route in routes):
        parts.append(f"## {tag.capitalize()}")
        parts.append(table(["Operation", "What", "Needs", "Answers"], _rows(routes, tag)))
        if tag == "dead letters":
            parts.append(_REPLAY)
    return page("API", "python -m cli.docs", parts)


def _refusals() -> str:
    return table(["Status", "Meaning"], ([str(status), told["description"]] for status, told in documented().items()))


def _rows(routes: list[APIRoute], tag: str) -> Iterator[list[str]]:
    for route in routes:
        if route.tags[0] == tag:
            method = min(route.methods or ())
            told = f"{route.summary}. {route.description}".replace("..", ".")
            yield [f"`{method} {route.path}`", told, _needs(route.dependant), _answers(route)]


def _needs(dependant: Dependant) -> str:
    """The permission of the door that the route has; without one, a sign-in or a key, or what it says itself."""
    doors = [getattr(one.call, "permission", None) for one in dependant.dependencies]
    found = [door.name.lower() for door in doors if door is not None]
    return ", ".join(f"`{name}`" for name in found) or "a sign-in or a key"


def _answers(route: APIRoute) -> str:
    usual: dict[Any, Any] = documented()
    more = sorted(int(status) for status in route.responses if status not in usual and int(status) >= 400)  # noqa: PLR2004
    return ", ".join(str(status) for status in (route.status_code or 200, *more))
