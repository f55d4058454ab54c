"""Asks an app in this process, as a server would: no socket, and none of a client's work for each of many requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: bytes = b""
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str


async def asked(app: FastAPI, request: Request, headers: Mapping[str, str]) -> Reply:
    """What the app answers."""
    told: list[dict[str, Any]] = []
    await app(_scope(request, headers), _Body(request.body), _into(told))
    start, *rest = told
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], found, b"".join(one.get("body", b"") for one in rest).decode())


def _scope(request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
    sent = {"host": "127.0.0.1", "content-length": str(len(request.body)), "content-type": "application/json"}
    sent |= {name.lower(): value for name, value in headers.items()}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": request.query,
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


class _Body:
    """The whole body at once, and then nothing more."""

    def __init__(self, body: bytes) -> None:
        self._left: list[bytes] = [body]

    async def __call__(self) -> dict[str, Any]:
        if self._left:
            return {"type": "http.request", "body": self._left.pop(), "more_body": False}
        return {"type": "http.disconnect"}


def _into(told: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - ASGI's send
    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    return send
