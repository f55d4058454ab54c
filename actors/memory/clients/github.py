"""GitHub: the issues and pull requests of one repository, the last changed first.

Both come from the list of issues, which has pull requests among them and, unlike the list of pulls, knows `since`. It
is read from the newest back: what changes while we page moves to its front, where the next sync finds it, and nothing
moves past us. `since` includes its own second, so the newest one comes once more and is found unchanged; a sync in
which nothing at all is new costs one request that GitHub answers 304 and does not count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from actors.memory.clients.answer import Answer, moment, too_many
from actors.memory.clients.provider import Provider
from actors.memory.clients.source import Page, SourceObject, pack, read_objects, unpack
from callboard import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.memory.clients.provider import Access

_VERSION = "2022-11-28"
_PAGE = 100
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')
_NOT_MODIFIED, _FORBIDDEN = 304, 403


class GitHub:
    """One repository.

    Args:
        base_url: Of the API.
        access: Tokens.
        options: Of the connection: `repository`, as owner/name.
        lenient: See `read_objects`.
        **more: As `Provider`.

    Raises:
        PermanentError: The connection names no repository.
    """

    complete = True

    def __init__(
        self,
        base_url: str,
        access: Access,
        options: Mapping[str, Any],
        *,
        lenient: bool = False,
        **more: Any,  # noqa: ANN401 - as Provider
    ) -> None:
        self._repository = str(options.get("repository", ""))
        if not _REPOSITORY.fullmatch(self._repository):
            raise PermanentError(f"options.repository of the connection is {self._repository!r}; write owner/name.")
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": _VERSION}
        self.provider = Provider("github", base_url, access, headers=headers, limited=_limited, **more)
        self._lenient = lenient

    def page(self, cursor: str | None) -> Page:
        """See `Source.page`."""
        at = unpack(cursor)
        answer = self._ask(at)
        if answer.status == _NOT_MODIFIED and cursor is not None:
            return Page(cursor=cursor, more=False)
        items = answer.json()
        if not isinstance(items, list):
            raise TransientError(f"{answer.url} answered something else than a list")
        newest = at.get("newest") or max([at.get("since") or "", *map(_updated, items)])
        objects, bad = read_objects(items, self._read, lenient=self._lenient)
        following = _NEXT.search(answer.headers.get("link", ""))
        if following:
            cursor = pack(since=at.get("since"), newest=newest, url=following[1])
        else:
            cursor = pack(since=newest or None, etag=self._etag(answer, at, newest))
        return Page(cursor=cursor, more=following is not None, objects=objects, bad=bad)

    def _ask(self, at: Mapping[str, Any]) -> Answer:
        if at.get("url"):
            return self.provider.ask("GET", at["url"])
        params: dict[str, Any] = {"state": "all", "sort": "updated", "direction": "desc", "per_page": _PAGE}
        if at.get("since"):
            params["since"] = at["since"]
        headers = {"If-None-Match": at["etag"]} if at.get("etag") else {}
        path = f"/repos/{self._repository}/issues"
        return self.provider.ask("GET", path, params=params, headers=headers, also=(_NOT_MODIFIED,))

    @staticmethod
    def _etag(answer: Answer, at: Mapping[str, Any], newest: str) -> str | None:
        """Good for the next sync only if that asks for the very same."""
        same = not at.get("url") and bool(newest) and at.get("since") == newest
        return answer.headers.get("etag") if same else None

    def _read(self, item: Mapping[str, Any]) -> SourceObject:
        pull = item.get("pull_request")
        number = int(item["number"])
        return SourceObject(
            id=f"{self._repository}#{number}",
            type="issue" if pull is None else "pull_request",
            title=str(item["title"]),
            content=str(item.get("body") or ""),
            url=str(item["html_url"]),
            metadata={
                "number": number,
                "state": str(item["state"]),
                "merged": bool(pull and pull.get("merged_at")),
                "updated_at": moment(item["updated_at"]).isoformat(),
            },
            category="STATUS",
        )


def _updated(item: object) -> str:
    told = item.get("updated_at") if isinstance(item, dict) else None
    return told if isinstance(told, str) else ""


def _limited(answer: Answer) -> bool:
    """Both limits of GitHub may come as 403: the primary one with nothing remaining, the secondary one with a text."""
    if answer.status != _FORBIDDEN:
        return too_many(answer)
    headers = answer.headers
    used_up = headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers
    return used_up or b"rate limit" in answer.body.lower()
