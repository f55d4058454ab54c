"""What people type by heart, `/runs`, `/issues/12`: sent on to the page that it means."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from console.pages._kit import RUNS

router = APIRouter(include_in_schema=False)
_PAGES = {name: f"/admin/{name}" for name in ("audit", "accounts", "keys", "issues", "jobs", "queues", "workers")} | {
    "dashboard": RUNS,
    "runs": f"{RUNS}/runs",
    "admin/runs": f"{RUNS}/runs",
    "failures": f"{RUNS}/failures",
    "admin/failures": f"{RUNS}/failures",
    "schedules": "/admin/schedules",
    "dead_letters": "/admin/dead_letters",
    "dead-letters": "/admin/dead_letters",
    "letters": "/admin/dead_letters",
}


def _send_on(request: Request) -> RedirectResponse:
    path = request.url.path.lstrip("/")
    name = next(name for name in _PAGES if f"{path}/".startswith(f"{name}/"))
    return RedirectResponse(str(request.url.replace(scheme="", netloc="", path=_PAGES[name] + path[len(name) :])))


for _name in _PAGES:
    router.add_api_route(f"/{_name}", _send_on)
    router.add_api_route(f"/{_name}/{{rest:path}}", _send_on)
