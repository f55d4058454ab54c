"""The stand-ins for GitHub, Notion, Google Drive and OneDrive, held against examples of their vendors' documents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sandbox.github import GitHubStandIn
from sandbox.google_drive import GoogleDriveStandIn
from sandbox.notion import NotionStandIn, page_id
from sandbox.onedrive import OneDriveStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.documents import DocumentStandIn

NOTION = {"Notion-Version": "2022-06-28"}
START = datetime(2026, 3, 10, 12, tzinfo=UTC)
LIST = {"github": "/repos/acme/shop/issues", "google_drive": "/drive/v3/files", "onedrive": "/v1.0/me/drive/root/delta"}
KINDS: dict[str, type[DocumentStandIn]] = {
    "github": GitHubStandIn,
    "notion": NotionStandIn,
    "google_drive": GoogleDriveStandIn,
    "onedrive": OneDriveStandIn,
}


GOOD = "access-0"


def client(stand_in: DocumentStandIn, token: str = GOOD) -> httpx.Client:
    return httpx.Client(base_url=stand_in.url, headers={"Authorization": f"Bearer {token}"})


def listed(http: httpx.Client, name: str) -> httpx.Response:
    return http.post("/v1/search", json={}, headers=NOTION) if name == "notion" else http.get(LIST[name])


def same_shape(example: object, answer: object, path: str = "$") -> None:
    """Every field of the example is there, of the same kind; null stands for what may be absent."""
    if isinstance(example, dict):
        assert isinstance(answer, dict), path
        for name, value in example.items():
            assert name in answer, f"{path}.{name}"
            same_shape(value, answer[name], f"{path}.{name}")
    elif isinstance(example, list):
        assert isinstance(answer, list), path
        for value in answer:
            same_shape(example[0], value, f"{path}[]")
    elif example is not None:
        assert type(answer) is type(example), f"{path}: {answer!r}"


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def stand_in(name: str) -> Iterator[DocumentStandIn]:
    with KINDS[name]() as made:
        for number in range(1, 4):
            made.put(str(number), f"Title {number}", f"Text {number}", edited=START + timedelta(minutes=number))
        yield made


EXAMPLES: dict[str, Any] = {
    # docs.github.com/rest/issues/issues#list-repository-issues
    "github": [
        {
            "id": 1,
            "node_id": "MDU6SXNzdWUx",
            "url": "https://api.github.com/repos/octocat/Hello-World/issues/1347",
            "html_url": "https://github.com/octocat/Hello-World/issues/1347",
            "number": 1347,
            "state": "open",
            "title": "Found a bug",
            "body": "I'm having a problem with this.",
            "user": {"login": "octocat", "id": 1, "type": "User"},
            "labels": [{"id": 208045946, "name": "bug", "color": "f29513", "default": True}],
            "comments": 0,
            "created_at": "2011-04-22T13:33:48Z",
            "updated_at": "2011-04-22T13:33:48Z",
            "closed_at": None,
        }
    ],
    # developers.notion.com/reference/post-search
    "notion": {
        "object": "list",
        "results": [
            {
                "object": "page",
                "id": "954b67f9-3f87-41db-8874-23b92bbd31ee",
                "created_time": "2022-07-06T19:30:00.000Z",
                "last_edited_time": "2022-07-06T19:30:00.000Z",
                "created_by": {"object": "user", "id": "ee5f0f84-409a-440f-983a-a5315961c6e4"},
                "parent": {"type": "workspace"},
                "archived": False,
                "in_trash": False,
                "properties": {"title": {"type": "title", "title": [{"type": "text", "plain_text": "Tuscan kale"}]}},
                "url": "https://www.notion.so/Tuscan-kale-954b67f93f8741db887423b92bbd31ee",
            }
        ],
        "next_cursor": None,
        "has_more": False,
    },
    # developers.google.com/drive/api/reference/rest/v3/files/list
    "google_drive": {
        "kind": "drive#fileList",
        "incompleteSearch": False,
        "files": [
            {
                "kind": "drive#file",
                "id": "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms",
                "name": "Example",
                "mimeType": "application/vnd.google-apps.document",
                "trashed": False,
                "modifiedTime": "2026-03-10T12:00:00.000Z",
                "webViewLink": "https://drive.google.com/file/d/1Bxi/view",
            }
        ],
    },
    # learn.microsoft.com/graph/api/driveitem-delta
    "onedrive": {
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Collection(driveItem)",
        "value": [{"id": "0123456789abc", "name": "folder2", "size": 0}],
        "@odata.deltaLink": "https://graph.microsoft.com/v1.0/me/drive/root/delta?token=1230919asd190410jlka",
    },
}
ERRORS: dict[str, Any] = {
    "github": {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"},
    "notion": {"object": "error", "status": 401, "code": "unauthorized", "message": "API token is invalid."},
    "google_drive": {
        "error": {
            "errors": [{"domain": "global", "reason": "authError", "message": "Invalid Credentials"}],
            "code": 401,
            "message": "Invalid Credentials",
        }
    },
    "onedrive": {
        "error": {"code": "InvalidAuthenticationToken", "message": "Access token is empty.", "innerError": {}}
    },
}


def test_a_list_looks_as_the_vendor_says(name: str, stand_in: DocumentStandIn) -> None:
    with client(stand_in) as http:
        same_shape(EXAMPLES[name], listed(http, name).json())


def test_an_error_looks_as_the_vendor_says(name: str, stand_in: DocumentStandIn) -> None:
    with client(stand_in, "wrong") as http:
        answer = listed(http, name)
    assert answer.status_code == 401
    same_shape(ERRORS[name], answer.json())


def test_a_planted_fault_looks_as_the_vendor_says(name: str, stand_in: DocumentStandIn) -> None:
    stand_in.fail(status=429, retry_after=3, headers={"X-Other": "y"})
    with client(stand_in) as http:
        answer = listed(http, name)
    assert (answer.status_code, answer.headers["retry-after"], answer.headers["x-other"]) == (429, "3", "y")
    same_shape(ERRORS[name], answer.json())


def test_documents_and_modes_over_http(name: str, stand_in: DocumentStandIn) -> None:
    with client(stand_in) as http:
        assert http.post("/_sandbox/documents", json={"id": "9", "title": "Nine"}).json() == {"changed": 4}
        assert http.post("/_sandbox/documents", json={"id": "9", "deleted": True}).json() == {"changed": 5}
        shown = http.get("/_sandbox/documents").json()
        assert shown[-1] == {"id": "9", "title": "Nine", "changed": 5, "deleted": True}
        assert http.post("/_sandbox/documents", json={"title": "x"}).status_code == 400
        assert http.post("/_sandbox/documents", json={"id": "7", "deleted": True}).status_code == 404
        asked = {"endless": True, "expired": True}
        assert http.post("/_sandbox/mode", json=asked).json() == {"endless": True, "stuck": False}
        before = len(json.dumps(listed(http, name).json()))
        assert before > 0


class TestGitHub:
    @pytest.fixture
    def http(self) -> Iterator[httpx.Client]:
        with GitHubStandIn() as made, client(made) as http:
            for number in range(1, 6):
                kind = "pull" if number == 2 else ""
                made.put(str(number), f"Title {number}", kind=kind, edited=START + timedelta(minutes=number))
            yield http

    def test_pages_are_linked_and_the_last_has_no_next(self, http: httpx.Client) -> None:
        first = http.get("/repos/acme/shop/issues", params={"per_page": 3, "direction": "asc"})
        assert [one["number"] for one in first.json()] == [1, 2, 3]
        second = http.get(first.links["next"]["url"])
        assert [one["number"] for one in second.json()] == [4, 5]
        assert "next" not in second.links

    def test_since_includes_its_second_and_newest_come_first(self, http: httpx.Client) -> None:
        asked = {"since": "2026-03-10T12:04:00Z"}
        assert [one["number"] for one in http.get("/repos/acme/shop/issues", params=asked).json()] == [5, 4]
        assert http.get("/repos/acme/shop/issues", params={"since": "yesterday"}).status_code == 422

    def test_pulls_are_issues_too_and_have_a_list_of_their_own(self, http: httpx.Client) -> None:
        issues = http.get("/repos/acme/shop/issues").json()
        assert [one["number"] for one in issues if "pull_request" in one] == [2]
        assert [one["number"] for one in http.get("/repos/acme/shop/pulls").json()] == [2]

    def test_an_unchanged_page_is_304_and_free(self, http: httpx.Client) -> None:
        first = http.get("/repos/acme/shop/issues")
        again = http.get("/repos/acme/shop/issues", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        left = [int(each.headers["x-ratelimit-remaining"]) for each in (first, http.get("/repos/acme/shop/issues"))]
        assert left == [4999, 4998]

    def test_an_unknown_repository_is_404(self, http: httpx.Client) -> None:
        answer = http.get("/repos/acme/none/issues")
        assert (answer.status_code, answer.json()["message"]) == (404, "Not Found")


class TestNotion:
    @pytest.fixture
    def stand_in(self) -> Iterator[NotionStandIn]:
        with NotionStandIn() as made:
            made.put("a", "Handbook", "One\n  nested\nTwo", edited=START)
            made.put("b", "Other", edited=START + timedelta(minutes=1))
            yield made

    @pytest.fixture
    def http(self, stand_in: NotionStandIn) -> Iterator[httpx.Client]:
        with client(stand_in) as http:
            http.headers.update(NOTION)
            yield http

    def test_the_version_is_required(self, http: httpx.Client) -> None:
        del http.headers["Notion-Version"]
        answer = http.post("/v1/search", json={})
        assert (answer.status_code, answer.json()["code"]) == (400, "missing_version")

    def test_search_pages_by_cursor_and_takes_no_other(self, stand_in: NotionStandIn, http: httpx.Client) -> None:
        first = http.post("/v1/search", json={"page_size": 1}).json()
        assert (first["results"][0]["id"], first["has_more"]) == (page_id("b"), True)
        second = http.post("/v1/search", json={"page_size": 1, "start_cursor": first["next_cursor"]}).json()
        assert (second["results"][0]["id"], second["has_more"], second["next_cursor"]) == (page_id("a"), False, None)
        stand_in.expire()
        for cursor in (first["next_cursor"], "nonsense"):
            answer = http.post("/v1/search", json={"start_cursor": cursor})
            assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")

    def test_children_are_blocks_with_rich_text(self, http: httpx.Client) -> None:
        blocks = http.get(f"/v1/blocks/{page_id('a')}/children").json()["results"]
        # developers.notion.com/reference/get-block-children
        example = {
            "object": "block",
            "id": "c02fc1d3-db8b-45c5-a222-27595b15aea7",
            "type": "paragraph",
            "has_children": False,
            "paragraph": {"rich_text": [{"type": "text", "text": {"content": "x"}, "plain_text": "x"}]},
        }
        same_shape([example], blocks)
        assert [block["has_children"] for block in blocks] == [True, False]
        nested = http.get(f"/v1/blocks/{blocks[0]['id']}/children").json()["results"]
        assert nested[0]["paragraph"]["rich_text"][0]["plain_text"] == "nested"
        assert http.get(f"/v1/blocks/{page_id('x')}/children").json()["code"] == "object_not_found"


class TestGoogleDrive:
    @pytest.fixture
    def stand_in(self) -> Iterator[GoogleDriveStandIn]:
        with GoogleDriveStandIn() as made:
            for number in range(1, 4):
                made.put(str(number), f"Title {number}", f"Text {number}")
            yield made

    @pytest.fixture
    def http(self, stand_in: GoogleDriveStandIn) -> Iterator[httpx.Client]:
        with client(stand_in) as http:
            yield http

    def test_changes_follow_from_a_start_token(self, stand_in: GoogleDriveStandIn, http: httpx.Client) -> None:
        start = http.get("/drive/v3/changes/startPageToken").json()
        same_shape({"kind": "drive#startPageToken", "startPageToken": "123"}, start)
        stand_in.put("2", "New title")
        stand_in.delete("3")
        asked = {"pageToken": start["startPageToken"], "pageSize": 1}
        first = http.get("/drive/v3/changes", params=asked).json()
        assert (first["changes"][0]["fileId"], "newStartPageToken" in first) == ("2", False)
        second = http.get("/drive/v3/changes", params={**asked, "pageToken": first["nextPageToken"]}).json()
        assert (second["changes"][0]["removed"], "nextPageToken" in second) == (True, False)
        third = http.get("/drive/v3/changes", params={"pageToken": second["newStartPageToken"]}).json()
        assert third["changes"] == []

    def test_old_tokens_are_refused(self, stand_in: GoogleDriveStandIn, http: httpx.Client) -> None:
        token = http.get("/drive/v3/changes/startPageToken").json()["startPageToken"]
        page = http.get("/drive/v3/files", params={"pageSize": 1}).json()["nextPageToken"]
        stand_in.expire()
        assert http.get("/drive/v3/changes", params={"pageToken": token}).status_code == 410
        assert http.get("/drive/v3/changes", params={"pageToken": "x"}).status_code == 400
        assert http.get("/drive/v3/files", params={"pageToken": page}).status_code == 400

    def test_documents_are_exported_and_files_downloaded(
        self, stand_in: GoogleDriveStandIn, http: httpx.Client
    ) -> None:
        stand_in.put("t", "t.txt", "plain", kind="text/plain")
        assert http.get("/drive/v3/files/t", params={"alt": "media"}).text == "plain"
        exported = http.get("/drive/v3/files/1/export", params={"mimeType": "text/plain"})
        assert exported.content.decode("utf-8-sig") == "Text 1"
        refused = http.get("/drive/v3/files/1", params={"alt": "media"})
        assert refused.json()["error"]["errors"][0]["reason"] == "fileNotDownloadable"
        assert http.get("/drive/v3/files/none").status_code == 404

    def test_tokens_are_renewed_as_rfc_6749_says(self, stand_in: GoogleDriveStandIn, http: httpx.Client) -> None:
        form = {"grant_type": "refresh_token", "client_id": "c", "refresh_token": "refresh-0"}
        renewed = http.post("/token", data=form).json()
        same_shape({"access_token": "x", "expires_in": 3600, "token_type": "Bearer"}, renewed)
        with client(stand_in, renewed["access_token"]) as other:
            assert other.get("/drive/v3/files").status_code == 200
        stand_in.refresh_tokens.clear()
        refused = http.post("/token", data=form)
        expected = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        assert (refused.status_code, refused.json()) == (400, expected)


class TestOneDrive:
    @pytest.fixture
    def stand_in(self) -> Iterator[OneDriveStandIn]:
        with OneDriveStandIn() as made:
            for number in range(1, 4):
                made.put(str(number), f"{number}.txt", f"Text {number}")
            yield made

    @pytest.fixture
    def http(self, stand_in: OneDriveStandIn) -> Iterator[httpx.Client]:
        with client(stand_in) as http:
            yield http

    def test_links_lead_to_the_end_and_then_to_what_changed(
        self, stand_in: OneDriveStandIn, http: httpx.Client
    ) -> None:
        stand_in.repeats = True
        link, ids, empty = "/v1.0/me/drive/root/delta?$top=2", [], 0
        while "@odata.deltaLink" not in (answer := http.get(link).json()):
            ids += [item["id"] for item in answer["value"]]
            empty += not answer["value"]
            link = answer["@odata.nextLink"]
        assert (ids + [item["id"] for item in answer["value"]], empty) == (["root", "1", "2", "2", "3"], 1)
        stand_in.repeats = False
        stand_in.delete("1")
        changed = http.get(answer["@odata.deltaLink"]).json()["value"]
        assert [(item["id"], item["deleted"]) for item in changed] == [("1", {"state": "deleted"})]

    def test_an_old_link_is_410_and_says_where_to_begin(self, stand_in: OneDriveStandIn, http: httpx.Client) -> None:
        link = http.get("/v1.0/me/drive/root/delta").json()["@odata.deltaLink"]
        stand_in.expire()
        answer = http.get(link)
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "resyncRequired")
        assert http.get(answer.headers["location"]).status_code == 200
        assert http.get("/v1.0/me/drive/root/delta?token=x").status_code == 400

    def test_content_is_elsewhere_and_needs_no_token(self, http: httpx.Client) -> None:
        answer = http.get("/v1.0/me/drive/items/1/content")
        assert answer.status_code == 302
        assert httpx.get(answer.headers["location"]).text == "Text 1"
        assert http.get("/v1.0/me/drive/items/9/content").json()["error"]["code"] == "itemNotFound"


def test_the_commands_print_where_they_serve(name: str) -> None:
    command = [sys.executable, "-m", f"sandbox.{name}", "--port", "0", "--documents", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/_sandbox/documents") as answer:  # noqa: S310 - our own process
            assert len(json.load(answer)) == 3
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
