"""Pages from templates: everything that is put into one is escaped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console import _assets, _words

if TYPE_CHECKING:
    from fastapi import Request

_FOLDER = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Jinja's environment of this process."""
    made = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(_words.FILTERS)
    made.globals["asset"] = _assets.url
    return made


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:  # noqa: ANN401 - whatever the template shows
    """A page; `request` and `status` are in its context too."""
    return HTMLResponse(environment().get_template(template).render(request=request, status=status, **context), status)
