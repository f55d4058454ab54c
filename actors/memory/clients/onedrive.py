"""OneDrive, by Microsoft Graph: the delta of a drive, whose links are followed as they come.

An item may come twice in a round, and a page may be empty; neither is the end, which only a `@odata.deltaLink` is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from actors.memory.clients.answer import moment
from actors.memory.clients.provider import Provider
from actors.memory.clients.source import CursorExpired, Page, SourceObject, pack, read_objects, unpack
from callboard import TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.memory.clients.provider import Access

_FIRST = "/v1.0/me/drive/root/delta?$top=100"
_TEXTS = ("application/json", "application/xml", "application/x-yaml", "application/rtf")
_GONE = 410


class OneDrive:
    """One user's drive.

    Args:
        base_url: Of Microsoft Graph.
        access: Tokens.
        options: Of the connection; the drive needs none.
        lenient: See `read_objects`.
        largest: Bytes of a file; a larger one is known, but not read.
        **more: As `Provider`.
    """

    complete = True

    def __init__(
        self,
        base_url: str,
        access: Access,
        options: Mapping[str, Any],
        *,
        lenient: bool = False,
        largest: int = 1_000_000,
        **more: Any,  # noqa: ANN401 - as Provider
    ) -> None:
        del options
        self.provider = Provider("onedrive", base_url, access, **more)
        self._lenient, self._largest = lenient, largest

    def page(self, cursor: str | None) -> Page:
        """See `Source.page`."""
        answer = self.provider.ask("GET", unpack(cursor).get("link") or _FIRST, also=(_GONE,))
        if answer.status == _GONE:
            raise CursorExpired
        objects, bad = read_objects(answer.list("value"), self._read, lenient=self._lenient)
        document = answer.object()
        following = document.get("@odata.nextLink")
        after = following or document.get("@odata.deltaLink")
        if not isinstance(after, str):
            raise TransientError(f"{answer.url} answered neither @odata.nextLink nor @odata.deltaLink")
        return Page(cursor=pack(link=after), more=following is not None, objects=objects, bad=bad)

    def _read(self, item: Mapping[str, Any]) -> SourceObject | None:
        name = str(item["id"])
        if "deleted" in item:
            return SourceObject(id=name, type="file", deleted=True)
        if "file" not in item:
            return None  # a folder, a notebook, the root
        kind = str(item["file"].get("mimeType", ""))
        return SourceObject(
            id=name,
            type="file",
            title=str(item["name"]),
            content=self._text(name, kind, int(item["size"])),
            url=str(item["webUrl"]),
            metadata={"media_type": kind, "updated_at": moment(item["lastModifiedDateTime"]).isoformat()},
        )

    def _text(self, name: str, kind: str, size: int) -> str:
        if size > self._largest or not (kind.startswith("text/") or kind in _TEXTS):
            return ""
        path = f"/v1.0/me/drive/items/{quote(name, safe='!')}/content"
        return self.provider.ask("GET", path, limit=self._largest).text()
