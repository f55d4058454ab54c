"""Google Drive: all files first, then what changed.

The token of the first change is asked for before the files are listed, so that a change in between is not lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from actors.memory.clients.answer import Answer, moment, too_many
from actors.memory.clients.provider import Provider
from actors.memory.clients.source import CursorExpired, Page, SourceObject, pack, read_objects, unpack
from callboard import TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.memory.clients.provider import Access

_PAGE = 100
_FILE = "id,name,mimeType,modifiedTime,webViewLink,size,trashed"
_GOOGLE = "application/vnd.google-apps."
#: What a Google document is exported as; the other kinds (drawings, forms, folders) have no text.
_EXPORTS = {"document": "text/plain", "presentation": "text/plain", "spreadsheet": "text/csv"}
_TEXTS = ("application/json", "application/xml", "application/x-yaml", "application/rtf")
_LIMITS = (b"rateLimitExceeded", b"userRateLimitExceeded")
_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _GONE = 400, 403, 404, 410


class GoogleDrive:
    """One user's drive.

    Args:
        base_url: Of Google's API.
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
        self.provider = Provider("google_drive", base_url, access, limited=_limited, **more)
        self._lenient, self._largest = lenient, largest

    def page(self, cursor: str | None) -> Page:
        """See `Source.page`."""
        at = unpack(cursor)
        return self._changes(str(at["changes"])) if at.get("changes") else self._files(at)

    def _files(self, at: Mapping[str, Any]) -> Page:
        start = at.get("start") or self._start()
        params = {"q": "trashed=false", "pageSize": _PAGE, "fields": f"nextPageToken,files({_FILE})", "spaces": "drive"}
        answer = self._ask("/drive/v3/files", params, at.get("page"))
        objects, bad = read_objects(answer.list("files"), self._read, lenient=self._lenient)
        following = answer.object().get("nextPageToken")
        cursor = pack(start=start, page=following) if following else pack(changes=start)
        return Page(cursor=cursor, more=bool(following), objects=objects, bad=bad)

    def _changes(self, token: str) -> Page:
        fields = f"nextPageToken,newStartPageToken,changes(fileId,removed,changeType,file({_FILE}))"
        params = {"pageSize": _PAGE, "fields": fields, "spaces": "drive", "includeRemoved": "true"}
        answer = self._ask("/drive/v3/changes", params, token)
        objects, bad = read_objects(answer.list("changes"), self._read_change, lenient=self._lenient)
        document = answer.object()
        following = document.get("nextPageToken")
        after = following or document.get("newStartPageToken")
        if not after:
            raise TransientError(f"{answer.url} answered neither nextPageToken nor newStartPageToken")
        return Page(cursor=pack(changes=after), more=bool(following), objects=objects, bad=bad)

    def _start(self) -> str:
        answer = self.provider.ask("GET", "/drive/v3/changes/startPageToken")
        try:
            return str(answer.object()["startPageToken"])
        except KeyError:
            raise TransientError(f"{answer.url} answered no startPageToken") from None

    def _ask(self, path: str, params: dict[str, Any], token: str | None) -> Answer:
        if token is None:
            return self.provider.ask("GET", path, params=params)
        unknown = (_BAD_REQUEST, _NOT_FOUND, _GONE)  # Google has answered each of them to an old token
        answer = self.provider.ask("GET", path, params={**params, "pageToken": token}, also=unknown)
        if answer.status in unknown:
            raise CursorExpired
        return answer

    def _read_change(self, change: Mapping[str, Any]) -> SourceObject | None:
        if change.get("changeType", "file") != "file":
            return None  # a shared drive itself
        if change.get("removed"):
            return SourceObject(id=str(change["fileId"]), type="file", deleted=True)
        return self._read(change["file"])

    def _read(self, file: Mapping[str, Any]) -> SourceObject | None:
        kind, name = str(file["mimeType"]), str(file["id"])
        if kind == f"{_GOOGLE}folder":
            return None
        gone = bool(file.get("trashed"))
        return SourceObject(
            id=name,
            type="file",
            title=str(file["name"]),
            content="" if gone else self._text(name, kind, int(file.get("size", 0))),
            url=file.get("webViewLink"),
            metadata={"media_type": kind, "updated_at": moment(file["modifiedTime"]).isoformat()},
            deleted=gone,
        )

    def _text(self, name: str, kind: str, size: int) -> str:
        path = f"/drive/v3/files/{quote(name, safe='')}"
        if kind.startswith(_GOOGLE):
            wanted = _EXPORTS.get(kind.removeprefix(_GOOGLE))
            if wanted is None:
                return ""
            answer = self.provider.ask("GET", f"{path}/export", params={"mimeType": wanted}, limit=self._largest)
            return answer.text()
        if size > self._largest or not (kind.startswith("text/") or kind in _TEXTS):
            return ""
        return self.provider.ask("GET", path, params={"alt": "media"}, limit=self._largest).text()


def _limited(answer: Answer) -> bool:
    """Google's limits come as 429, or as 403 with a reason."""
    return too_many(answer) or (answer.status == _FORBIDDEN and any(reason in answer.body for reason in _LIMITS))
