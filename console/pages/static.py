"""The console's own files, kept by browsers for good: a changed file has another address."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from console._assets import assets

router = APIRouter(include_in_schema=False)
_FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


@router.get("/static/{version}/{name:path}")
async def file(request: Request, version: str, name: str) -> Response:
    """One file, compressed where the browser takes that."""
    found = assets().get(name)
    if found is None or found.version != version:
        raise HTTPException(404, "no such file here: the page is of another version of the console; reload it.")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {**_FOR_GOOD, "Content-Encoding": "gzip"} if packed else _FOR_GOOD
    return Response(found.packed if packed else found.plain, media_type=found.media_type, headers=headers)
