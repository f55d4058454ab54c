"""A stand-in for Notion's API: search, and the blocks of a page.

    POST /v1/search                  sort, page_size, start_cursor; what was archived is not found
    GET  /v1/blocks/{id}/children    page_size, start_cursor

The header `Notion-Version` is required. A document's text becomes one paragraph for each line; lines that begin with
two spaces are the children of the one before.

`python -m sandbox.notion --port 8092` serves until it is stopped; in tests `with NotionStandIn() as notion:` does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from sandbox.documents import Document, DocumentStandIn, VendorError, command
from sandbox.stand_in import parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CODES = {
    400: "validation_error",
    401: "unauthorized",
    403: "restricted_resource",
    404: "object_not_found",
    409: "conflict_error",
    429: "rate_limited",
    500: "internal_server_error",
    503: "service_unavailable",
}
_MOST = 100
_USER = {"object": "user", "id": str(uuid5(NAMESPACE_URL, "user"))}


class NotionStandIn(DocumentStandIn):
    """One workspace; a page's id is a UUID made of the document's."""

    def serve(self, method: str, path: str, query: dict[str, str], body: bytes) -> object:
        """See the head of this file."""
        if not self.headers.get("Notion-Version"):
            raise VendorError(400, "missing_version", "Notion-Version header should be defined.")
        if (method, path) == ("POST", "/v1/search"):
            return self._search(parse_object(body or b"{}"))
        if method == "GET" and path.startswith("/v1/blocks/") and path.endswith("/children"):
            return self._children(path.split("/")[3], query)
        raise VendorError(400, "invalid_request_url", "Invalid request URL.")

    def error(self, status: int, code: str, message: str) -> object:
        """Notion's own form."""
        name = code or _CODES.get(status, "internal_server_error")
        request = str(uuid5(NAMESPACE_URL, message))
        return {"object": "error", "status": status, "code": name, "message": message, "request_id": request}

    def _search(self, asked: dict[str, Any]) -> object:
        sort = asked.get("sort") or {"direction": "descending", "timestamp": "last_edited_time"}
        if sort.get("timestamp") != "last_edited_time":
            raise VendorError(400, "validation_error", "body.sort.timestamp should be `last_edited_time`.")
        found = sorted(self.documents(), key=lambda one: (one.edited, one.changed), reverse=True)
        if sort.get("direction") == "ascending":
            found.reverse()
        return self._page(found, asked, lambda one: self._describe(one) if one.raw is None else one.raw)

    def _children(self, block: str, query: dict[str, str]) -> object:
        for one in self.documents():
            lines = _lines(one)
            if block == page_id(one.id):
                return self._page([line for line in lines if not line["_parent"]], query, _shown)
            if any(line["id"] == block for line in lines):
                return self._page([line for line in lines if line["_parent"] == block], query, _shown)
        raise VendorError(404, "object_not_found", f"Could not find block with ID: {block}.")

    def _page(self, found: Sequence[Any], asked: dict[str, Any], show: Callable[[Any], object]) -> object:
        size = max(1, min(int(asked.get("page_size", _MOST)), _MOST))
        at = self._position(asked.get("start_cursor"))
        part, more = found[at : at + size], at + size < len(found)
        if self.endless or self.stuck:
            part, more = part or found[:size], True
        following = f"{self.generation}:{at if self.stuck else at + size}" if more else None
        results = [show(one) for one in part]
        return {"object": "list", "results": results, "next_cursor": following, "has_more": more, "type": "block"}

    def _position(self, cursor: str | None) -> int:
        generation, _, at = (cursor or f"{self.generation}:0").partition(":")
        if not (generation.isdigit() and at.isdigit()) or int(generation) < self.generation:
            raise VendorError(400, "validation_error", f"The start_cursor provided is invalid: {cursor}")
        return int(at)

    def _describe(self, one: Document) -> dict[str, Any]:
        at = one.edited.strftime("%Y-%m-%dT%H:%M:00.000Z")  # the minute is all that Notion tells
        title = {"id": "title", "type": "title", "title": _rich(one.title)}
        return {
            "object": "page",
            "id": page_id(one.id),
            "created_time": at,
            "last_edited_time": at,
            "created_by": _USER,
            "last_edited_by": _USER,
            "cover": None,
            "icon": None,
            "parent": {"type": "workspace", "workspace": True},
            "archived": one.deleted,
            "in_trash": one.deleted,
            "properties": {"title": title},
            "url": f"https://www.notion.so/{page_id(one.id).replace('-', '')}",
            "public_url": None,
        }


def page_id(name: str) -> str:
    """The id of a document's page."""
    return str(uuid5(NAMESPACE_URL, f"page:{name}"))


def _rich(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": {"content": text, "link": None}, "plain_text": text, "href": None}] if text else []


def _lines(one: Document) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    above = ""
    for number, line in enumerate(one.text.splitlines()):
        block = str(uuid5(NAMESPACE_URL, f"block:{one.id}:{number}"))
        nested = line.startswith("  ") and bool(above)
        if nested:
            next(other for other in made if other["id"] == above)["has_children"] = True
        else:
            above = block
        made.append(_block(block, line.strip(), above if nested else ""))
    return made


def _block(name: str, text: str, parent: str) -> dict[str, Any]:
    return {
        "object": "block",
        "id": name,
        "type": "paragraph",
        "has_children": False,
        "archived": False,
        "paragraph": {"rich_text": _rich(text), "color": "default"},
        "_parent": parent,
    }


def _shown(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if not name.startswith("_")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    return command(NotionStandIn, "A stand-in for Notion.", 8092, arguments)


if __name__ == "__main__":
    sys.exit(main())
