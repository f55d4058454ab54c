"""A stand-in for OneDrive in Microsoft Graph: the delta of a drive, and the content of its files.

    POST /token                                 grant_type=refresh_token
    GET  /v1.0/me/drive/root/delta              $top, token; @odata.nextLink until @odata.deltaLink
    GET  /v1.0/me/drive/items/{id}/content      302 to an address that needs no token
    GET  /download/{id}                         that address

What the real one does and clients must bear: the root folder is among the items, an item may come twice in a round, a
page may be empty, and an expired link is answered 410 with `resyncRequired`. `kind` of a document is its media type; an
empty one is `text/plain`, `folder` a folder.

`python -m sandbox.onedrive --port 8094` serves until it is stopped; in tests `with OneDriveStandIn() as drive:` does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from sandbox.documents import Document, DocumentStandIn, VendorError, command, number
from sandbox.stand_in import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.faults import Fault

_DELTA = "/v1.0/me/drive/root/delta"
_ITEMS = "/v1.0/me/drive/items/"
_CODES = {
    400: "invalidRequest",
    401: "InvalidAuthenticationToken",
    403: "accessDenied",
    404: "itemNotFound",
    410: "resyncRequired",
    429: "activityLimitReached",
    500: "generalException",
    503: "serviceNotAvailable",
}


class OneDriveStandIn(DocumentStandIn):
    """One user's drive."""

    repeats = False  #: the first item of a page is the last of the page before, and every second page is empty

    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:
        """See the head of this file."""
        where = urlsplit(path).path
        if (method, where.rpartition("/")[0]) == ("GET", "/download"):
            one = self.document(where.rpartition("/")[2])
            return Reply(b"" if one is None else one.text.encode(), 404 if one is None else 200)
        return super().answer(method, path, body, fault)

    def serve(self, method: str, path: str, query: dict[str, str], body: bytes) -> object:  # noqa: ARG002 - a GET has none
        """See the head of this file."""
        if method == "GET" and path == _DELTA:
            return self._delta(query)
        name = path.removeprefix(_ITEMS).removesuffix("/content")
        one = self.document(name)
        if method != "GET" or path != f"{_ITEMS}{name}/content" or one is None or one.deleted:
            raise VendorError(404, "itemNotFound", "The resource could not be found.")
        return Reply(None, 302, {"Location": f"{self.url}/download/{name}?tempauth=1"})

    def error(self, status: int, code: str, message: str) -> object:
        """Graph's own form."""
        inner = {"date": "2026-01-05T12:00:00", "request-id": "8a2b", "client-request-id": "8a2b"}
        return {
            "error": {"code": code or _CODES.get(status, "generalException"), "message": message, "innerError": inner}
        }

    def _delta(self, query: Mapping[str, str]) -> object:
        mode, at, size = self._position(query)
        shown = self.documents(since=at, deleted=mode == "delta")
        if mode == "gap":
            return {**_HEAD, "value": [], "@odata.nextLink": self._link("list", at, size)}
        part = list(shown[:size])
        answer = {**_HEAD, "value": [self._describe(one) for one in self._repeated(part, at)]}
        if at == 0 and mode == "list":
            answer["value"] = [_ROOT, *answer["value"]]
        if self.stuck or self.endless:
            return {**answer, "@odata.nextLink": self._link(mode, at if self.stuck else at + 1, size)}
        if len(shown) > size:
            following = "gap" if self.repeats and mode == "list" else mode
            return {**answer, "@odata.nextLink": self._link(following, part[-1].changed, size)}
        return {**answer, "@odata.deltaLink": self._link("delta", self.changes, size)}

    def _position(self, query: Mapping[str, str]) -> tuple[str, int, int]:
        size = number(query, "$top", 200, 1000)
        token = query.get("token")
        if token is None:
            return "list", 0, size
        mode, *numbers = token.split(".")
        if mode not in ("list", "gap", "delta") or len(numbers) != _NUMBERS or not "".join(numbers).isdigit():
            raise VendorError(400, "invalidRequest", "The delta token is malformed.")
        generation, at, given = map(int, numbers)
        if generation < self.generation:
            fresh = {"Location": f"{self.url}{_DELTA}"}
            raise VendorError(410, "resyncRequired", "Resync required. Replace any local items.", fresh)
        return mode, at, given

    def _link(self, mode: str, at: int, size: int) -> str:
        return f"{self.url}{_DELTA}?{urlencode({'token': f'{mode}.{self.generation}.{at}.{size}'})}"

    def _repeated(self, part: Sequence[Document], at: int) -> Sequence[Document]:
        before = [one for one in self.documents() if one.changed <= at] if self.repeats else []
        return [*before[-1:], *part]

    def _describe(self, one: Document) -> Any:  # noqa: ANN401 - a document's raw form may be anything
        if one.raw is not None:
            return one.raw
        if one.deleted:
            return {"id": one.id, "deleted": {"state": "deleted"}, "parentReference": {"id": "root"}}
        at = one.edited.strftime("%Y-%m-%dT%H:%M:%SZ")
        shown = {
            "id": one.id,
            "name": one.title,
            "eTag": f'"{one.id},{one.changed}"',
            "size": len(one.text.encode()),
            "createdDateTime": at,
            "lastModifiedDateTime": at,
            "webUrl": f"https://onedrive.live.com/?id={one.id}",
            "parentReference": {"driveType": "personal", "driveId": "d1", "id": "root", "path": "/drive/root:"},
        }
        kind = (
            {"folder": {"childCount": 0}} if one.kind == "folder" else {"file": {"mimeType": one.kind or "text/plain"}}
        )
        return {**shown, **kind}


_NUMBERS = 3  # of a token: its generation, the change it stands after, the size of pages
_HEAD = {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Collection(driveItem)"}
_ROOT = {"id": "root", "name": "root", "root": {}, "folder": {"childCount": 1}, "size": 0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    return command(OneDriveStandIn, "A stand-in for OneDrive.", 8094, arguments)


if __name__ == "__main__":
    sys.exit(main())
