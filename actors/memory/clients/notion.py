"""Notion: the pages and databases that an integration was given, the last edited first.

Search cannot be asked for changes since a moment; so an incremental sync reads from the newest back, until it comes to
what it knows. Notion tells the time of an edit by the minute: that minute is read once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from actors.memory.clients.answer import Answer, moment
from actors.memory.clients.provider import Provider
from actors.memory.clients.source import CursorExpired, Page, SourceObject, pack, read_objects, unpack
from callboard import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.memory.clients.provider import Access

_VERSION = "2022-06-28"
_PAGE = 100
_DEEPEST, _BLOCK_PAGES = 3, 10  # levels of nested blocks, and pages of children of each, that are read
_BAD_REQUEST = 400


class Notion:
    """One workspace.

    Args:
        base_url: Of the API.
        access: Tokens.
        options: Of the connection; Notion needs none.
        lenient: See `read_objects`.
        longest: Characters of a page's text after which no more blocks are asked for.
        **more: As `Provider`.
    """

    complete = False  #: search may leave pages out, says Notion

    def __init__(
        self,
        base_url: str,
        access: Access,
        options: Mapping[str, Any],
        *,
        lenient: bool = False,
        longest: int = 8_000,
        **more: Any,  # noqa: ANN401 - as Provider
    ) -> None:
        del options
        self.provider = Provider("notion", base_url, access, headers={"Notion-Version": _VERSION}, **more)
        self._lenient, self._longest = lenient, longest

    def page(self, cursor: str | None) -> Page:
        """See `Source.page`."""
        at = unpack(cursor)
        since = at.get("since") or ""
        answer = self._search(at.get("start_cursor"))
        items = answer.list("results")
        newest = at.get("newest") or max([since, *map(_edited, items)])
        known = any("" < _edited(item) < since for item in items)
        wanted = [item for item in items if not "" < _edited(item) < since]
        objects, bad = read_objects(wanted, self._read, lenient=self._lenient)
        following = _following(answer)
        if following is None or known:
            return Page(cursor=pack(since=newest or None), more=False, objects=objects, bad=bad)
        cursor = pack(since=since or None, newest=newest, start_cursor=following)
        return Page(cursor=cursor, more=True, objects=objects, bad=bad)

    def _search(self, start_cursor: str | None) -> Answer:
        body: dict[str, Any] = {
            "page_size": _PAGE,
            "sort": {"direction": "descending", "timestamp": "last_edited_time"},
        }
        if start_cursor:
            body["start_cursor"] = start_cursor
        answer = self.provider.ask("POST", "/v1/search", json=body, also=(_BAD_REQUEST,))
        if answer.status == _BAD_REQUEST:
            if start_cursor and b"start_cursor" in answer.body:
                raise CursorExpired
            raise PermanentError(f"{answer.url} answered 400: {answer.text()[:200]}")
        return answer

    def _read(self, item: Mapping[str, Any]) -> SourceObject:
        gone = bool(item.get("archived") or item.get("in_trash"))
        name, kind = str(item["id"]), str(item["object"])
        return SourceObject(
            id=name,
            type=kind,
            title=_title(item),
            content="" if gone or kind != "page" else self._text(name),
            url=str(item["url"]),
            metadata={"updated_at": moment(item["last_edited_time"]).isoformat()},
            deleted=gone,
        )

    def _text(self, page: str) -> str:
        lines: list[str] = []
        length = 0
        for line in self._lines(page, 1):
            lines.append(line)
            length += len(line) + 1
            if length > self._longest:
                break
        return "\n".join(lines)

    def _lines(self, block: str, depth: int) -> Iterator[str]:
        """The texts of a block's children and of theirs, in order."""
        for child in self._children(block):
            kind = child.get(str(child.get("type")))
            line = _plain(kind.get("rich_text")) if isinstance(kind, dict) else ""
            if line:
                yield line
            if child.get("has_children") and depth < _DEEPEST and child.get("type") != "child_page":
                yield from self._lines(str(child["id"]), depth + 1)

    def _children(self, block: str) -> Iterator[dict[str, Any]]:
        params: dict[str, Any] = {"page_size": _PAGE}
        for _ in range(_BLOCK_PAGES):
            answer = self.provider.ask("GET", f"/v1/blocks/{quote(block, safe='')}/children", params=params)
            yield from answer.list("results")
            following = _following(answer)
            if following is None:
                return
            if following == params.get("start_cursor"):
                raise TransientError(f"{answer.url} repeats its cursor")
            params["start_cursor"] = following


def _following(answer: Answer) -> str | None:
    document = answer.object()
    return str(document["next_cursor"]) if document.get("has_more") and document.get("next_cursor") else None


def _edited(item: object) -> str:
    told = item.get("last_edited_time") if isinstance(item, dict) else None
    return told if isinstance(told, str) else ""


def _title(item: Mapping[str, Any]) -> str:
    if item["object"] == "database":
        return _plain(item.get("title"))
    titles = [one for one in item["properties"].values() if one.get("type") == "title"]
    return _plain(titles[0]["title"]) if titles else ""


def _plain(rich: object) -> str:
    return "".join(str(part.get("plain_text", "")) for part in rich) if isinstance(rich, list) else ""
