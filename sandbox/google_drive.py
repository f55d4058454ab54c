"""A stand-in for Google Drive, version 3: files, what changed, and what is in them.

    POST /token                                  grant_type=refresh_token
    GET  /drive/v3/files                         pageSize, pageToken; what is in the trash is left out if `q` says so
    GET  /drive/v3/files/{id}?alt=media          the content of a file that is no Google document
    GET  /drive/v3/files/{id}/export?mimeType=   a Google document as text
    GET  /drive/v3/changes/startPageToken
    GET  /drive/v3/changes                       pageToken, pageSize

`kind` of a document is its media type; an empty one is a Google Doc.

`python -m sandbox.google_drive --port 8093` serves until it is stopped; in tests `with GoogleDriveStandIn()` does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sandbox.documents import Document, DocumentStandIn, VendorError, command, number
from sandbox.stand_in import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOC = "application/vnd.google-apps.document"
_GOOGLE = "application/vnd.google-apps."
_REASONS = {
    400: "badRequest",
    401: "authError",
    403: "insufficientFilePermissions",
    404: "notFound",
    410: "gone",
    429: "rateLimitExceeded",
    500: "backendError",
}


class GoogleDriveStandIn(DocumentStandIn):
    """One user's drive."""

    def serve(self, method: str, path: str, query: dict[str, str], body: bytes) -> object:  # noqa: ARG002 - a GET has none
        """See the head of this file."""
        match method, path.removeprefix("/drive/v3/").split("/"):
            case "GET", ["files"]:
                return self._files(query)
            case "GET", ["changes", "startPageToken"]:
                return {"kind": "drive#startPageToken", "startPageToken": str(self._token(self.changes + 1))}
            case "GET", ["changes"]:
                return self._changed(query)
            case "GET", ["files", name]:
                return self._file(name, query)
            case "GET", ["files", name, "export"]:
                return self._export(name, query)
        raise VendorError(404, "notFound", "Not Found")

    def error(self, status: int, code: str, message: str) -> object:
        """Google's own form."""
        reason = code or _REASONS.get(status, "backendError")
        errors = [{"domain": "global", "reason": reason, "message": message}]
        return {"error": {"errors": errors, "code": status, "message": message}}

    def _files(self, query: Mapping[str, str]) -> object:
        kind, _, given = query.get("pageToken", f"~{self._token(0)}").partition("~")
        if kind or not given.isdigit() or int(given) < self._token(0):
            raise VendorError(400, "invalid", "Invalid Value")
        at = int(given) - self._token(0)
        shown = self.documents(since=at, deleted="trashed=false" not in query.get("q", "").replace(" ", ""))
        size = number(query, "pageSize", 100, 1000)
        part, following = shown[:size], self._following(shown, size, at)
        answer = {"kind": "drive#fileList", "incompleteSearch": False, "files": [self._describe(one) for one in part]}
        return answer | ({} if following is None else {"nextPageToken": f"~{self._token(following)}"})

    def _changed(self, query: Mapping[str, str]) -> object:
        token = query.get("pageToken", "")
        if not token.isdigit():
            raise VendorError(400, "invalid", "Invalid Value")
        if int(token) < self._token(0):
            raise VendorError(410, "gone", "The page token is no longer valid.")
        at = int(token) - self._token(0) - 1
        shown = self.documents(since=at, deleted=True)
        size = number(query, "pageSize", 100, 1000)
        following = self._following(shown, size, at)
        changes = [self._change(one) for one in shown[:size]]
        after = {"newStartPageToken": str(self._token(self.changes + 1))}
        if following is not None:
            after = {"nextPageToken": str(self._token(following + 1))}
        return {"kind": "drive#changeList", "changes": changes, **after}

    def _token(self, change: int) -> int:
        return self.generation * 10**9 + change

    def _following(self, shown: Sequence[Document], size: int, at: int) -> int | None:
        """The change that the next page begins after; None at the end."""
        if self.stuck:
            return at
        if self.endless:
            return at + 1
        return shown[size - 1].changed if len(shown) > size else None

    def _change(self, one: Document) -> dict[str, Any]:
        at = one.edited.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        change = {"kind": "drive#change", "changeType": "file", "time": at, "removed": one.deleted, "fileId": one.id}
        return change if one.deleted else {**change, "file": self._describe(one)}

    def _describe(self, one: Document) -> Any:  # noqa: ANN401 - a document's raw form may be anything
        if one.raw is not None:
            return one.raw
        at = one.edited.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        shown = {
            "kind": "drive#file",
            "id": one.id,
            "name": one.title,
            "mimeType": one.kind or DOC,
            "trashed": one.deleted,
            "modifiedTime": at,
            "webViewLink": f"https://drive.google.com/file/d/{one.id}/view",
        }
        return shown if (one.kind or DOC).startswith(_GOOGLE) else {**shown, "size": str(len(one.text.encode()))}

    def _found(self, name: str) -> Document:
        one = self.document(name)
        if one is None or one.deleted:
            raise VendorError(404, "notFound", f"File not found: {name}.")
        return one

    def _file(self, name: str, query: Mapping[str, str]) -> object:
        one = self._found(name)
        if query.get("alt") != "media":
            return self._describe(one)
        if (one.kind or DOC).startswith(_GOOGLE):
            raise VendorError(403, "fileNotDownloadable", "Only files with binary content can be downloaded.")
        return Reply(one.text.encode(), 200, {"Content-Type": one.kind})

    def _export(self, name: str, query: Mapping[str, str]) -> object:
        one, wanted = self._found(name), query.get("mimeType", "")
        if not wanted.startswith("text/") or not (one.kind or DOC).startswith(_GOOGLE):
            raise VendorError(400, "badRequest", "The requested conversion is not supported.")
        return Reply(
            b"\xef\xbb\xbf" + one.text.encode(), 200, {"Content-Type": wanted}
        )  # the real one sends a mark too


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    return command(GoogleDriveStandIn, "A stand-in for Google Drive.", 8093, arguments)


if __name__ == "__main__":
    sys.exit(main())
