"""A stand-in for GitHub's REST API: the issues and pull requests of one repository.

    GET /repos/{owner}/{repo}/issues   state, sort, direction, since, per_page, page; pull requests are among them
    GET /repos/{owner}/{repo}/pulls    pull requests only; like the real one it knows no `since`

Paging is by the `Link` header, an unchanged first page answers 304 to `If-None-Match`, and every answer says what is
left of the rate limit. `kind` of a document: `issue` (also when it is empty) or `pull`.

`python -m sandbox.github --port 8091` serves until it is stopped; in tests `with GitHubStandIn() as github:` does.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sandbox.documents import Document, DocumentStandIn, VendorError, command, number
from sandbox.stand_in import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DOCS = "https://docs.github.com/rest"
_LIMIT = 5000
_MESSAGES = {401: "Bad credentials", 404: "Not Found"}


class GitHubStandIn(DocumentStandIn):
    """One repository, `acme/shop` unless `repository` is set to another."""

    repository = "acme/shop"
    used = 0

    def serve(self, method: str, path: str, query: dict[str, str], body: bytes) -> object:  # noqa: ARG002 - a GET has none
        """See the head of this file."""
        root = f"/repos/{self.repository}"
        self.used += 1
        if method != "GET" or path not in (f"{root}/issues", f"{root}/pulls"):
            raise VendorError(404, "", "Not Found", self._limits())
        shown = [one for one in self._sorted(query) if path.endswith("/issues") or one.kind == "pull"]
        return self._page(path, query, shown)

    def error(self, status: int, code: str, message: str) -> object:  # noqa: ARG002 - GitHub has no codes
        """GitHub's own form."""
        return {"message": _MESSAGES.get(status, message), "documentation_url": _DOCS, "status": str(status)}

    def _sorted(self, query: Mapping[str, str]) -> list[Document]:
        since = query.get("since", "")
        try:
            floor = datetime.fromisoformat(since) if since else datetime.min.replace(tzinfo=UTC)
        except ValueError:
            raise VendorError(422, "", "Validation Failed", self._limits()) from None
        shown = [one for one in self.documents() if one.edited.replace(microsecond=0) >= floor]
        shown.sort(key=lambda one: (one.edited, one.changed), reverse=query.get("direction", "desc") == "desc")
        return shown

    def _page(self, path: str, query: Mapping[str, str], shown: Sequence[Document]) -> Reply:
        page, size = number(query, "page", 1, 10**6), number(query, "per_page", 30, 100)
        part = shown[(page - 1) * size : page * size]
        more = page * size < len(shown)
        if self.endless or self.stuck:
            part, more = part or list(shown[:size]), True
        document = [self._issue(one) if one.raw is None else one.raw for one in part]
        headers = self._limits() | {"ETag": f'W/"{hashlib.sha256(json.dumps(document).encode()).hexdigest()}"'}
        if more:
            following = dict(query) | {"page": str(page if self.stuck else page + 1)}
            headers["Link"] = f'<{self.url}{path}?{urlencode(following)}>; rel="next"'
        if self.headers.get("If-None-Match") == headers["ETag"]:
            self.used -= 1  # such an answer is free
            return Reply(None, 304, headers)
        return Reply(document, 200, headers)

    def _limits(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(_LIMIT),
            "X-RateLimit-Remaining": str(max(_LIMIT - self.used, 0)),
            "X-RateLimit-Reset": str(int(time.time()) // 3600 * 3600 + 3600),
            "X-RateLimit-Resource": "core",
        }

    def _issue(self, one: Document) -> dict[str, Any]:
        root, name = f"{self.url}/repos/{self.repository}", int(one.id)
        place = "pull" if one.kind == "pull" else "issues"
        html = f"https://github.com/{self.repository}/{place}/{name}"
        at = one.edited.strftime("%Y-%m-%dT%H:%M:%SZ")
        document: dict[str, Any] = {
            "id": 1_000_000 + name,
            "node_id": f"I_{name}",
            "url": f"{root}/issues/{name}",
            "html_url": html,
            "number": name,
            "state": "open",
            "title": one.title,
            "body": one.text or None,
            "user": {"login": "octocat", "id": 1, "type": "User"},
            "labels": [{"id": 1, "name": "bug", "color": "f29513", "default": True}],
            "assignees": [],
            "milestone": None,
            "locked": False,
            "comments": 0,
            "created_at": at,
            "updated_at": at,
            "closed_at": None,
        }
        if one.kind == "pull":
            document["pull_request"] = {"url": f"{root}/pulls/{name}", "html_url": html, "merged_at": None}
        return document


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    return command(GitHubStandIn, "A stand-in for GitHub.", 8091, arguments)


if __name__ == "__main__":
    sys.exit(main())
