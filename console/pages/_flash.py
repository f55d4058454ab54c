"""One sentence that an act leaves for the next page, in a cookie that lives for a minute."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from fastapi import Request
    from fastapi.responses import Response

    from console.pages._kit import Told

_COOKIE = "callboard-told"
_SECONDS = 60
_LONGEST = 700


def leave(response: Response, kind: Literal["ok", "bad"], told: Told) -> None:
    """Leave it with the answer to an act."""
    value = {"kind": kind, "text": told.text[:_LONGEST], "link": told.link, "link_text": told.link_text}
    response.set_cookie(_COOKIE, quote(json.dumps(value)), max_age=_SECONDS, httponly=True, samesite="lax", path="/")


def read(request: Request) -> dict[str, str] | None:
    """What was left. A cookie is whoever's: its text is shown as text, and its link only if it stays here."""
    given = request.cookies.get(_COOKIE)
    if given is None:
        return None
    try:
        value = json.loads(unquote(given))
        kind = "ok" if value["kind"] == "ok" else "bad"
        link = value["link"] if str(value["link"]).startswith(("/admin/", "/teams/")) else ""
        return {"kind": kind, "text": str(value["text"]), "link": str(link), "link_text": str(value["link_text"])}
    except (ValueError, KeyError, TypeError):
        return None


def forget(response: Response) -> None:
    """It has been shown."""
    response.delete_cookie(_COOKIE, path="/", httponly=True, samesite="lax")
