"""`GET /v1/stream`: server-sent events, one named after each topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final, cast

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from callboard.errors import FilterError
from callboard.news import TOPICS, Topic
from console import answers
from console.deps import SignedIn, session_token
from console.live.hub import Full, Hub
from console.live.rights import Credential, hearing_of
from console.security import bearer

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from console.live.rights import Hearing
    from console.live.subscriber import Subscriber

router = APIRouter(tags=["live"])

#: A browser whose stream broke comes back after so many milliseconds.
RETRY_MILLISECONDS: Final = 2000
#: A silent stream says that it lives, so that no proxy closes it.
HEARTBEAT_SECONDS: Final = 15.0
# Whoever takes nothing for so long is gone, or as good as gone: what they miss is told when they come back.
_STALLED_SECONDS: Final = 30.0
_HEARTBEAT: Final = b": here\n\n"


class EventStream(Response):
    """Everything that a listener may hear, until it goes, its sign-in ends, or the console stops."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, topics: frozenset[Topic], hearing: Hearing, position: str | None) -> None:
        super().__init__()
        del self.headers["content-length"]
        # A proxy that buffers or changes the stream would hold it back.
        self.headers.update({"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"})
        self._hub = hub
        self._subscriber = hub.subscribe(topics, hearing, position)
        self._position = position or hub.position

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        leaving = asyncio.ensure_future(self._leave(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._tell(send)
        except TimeoutError:
            return  # it takes nothing any more; returning without an end closes the connection
        finally:
            self._hub.unsubscribe(self._subscriber)
            leaving.cancel()
        if not leaving.done():
            await _send(send, b"", more=False)

    async def _leave(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscriber.end()

    async def _tell(self, send: Send) -> None:
        greeting = f"retry: {RETRY_MILLISECONDS}\nid: {self._position}\n\n"
        await _send(send, greeting.encode())
        subscriber, clock = self._subscriber, asyncio.get_running_loop().time
        while not subscriber.over:
            subscriber.wake.clear()
            messages = self._hub.take(subscriber, clock())
            if messages:
                await _send(send, messages)
            elif not await _woken(subscriber, clock()):
                await _send(send, _HEARTBEAT)


async def _woken(subscriber: Subscriber, now: float) -> bool:
    """Wait until there may be something to tell, or no more; False if nothing was for the time of a heartbeat."""
    due = subscriber.next_due()
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS if due is None else max(0.0, due - now)):
            return await subscriber.wake.wait()
    except TimeoutError:
        return due is not None


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(_STALLED_SECONDS):
        await send({"type": "http.response.body", "body": body, "more_body": more})


@router.get(
    "/v1/stream",
    summary="Live updates",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events until the listener leaves."}},
)
async def stream(
    request: Request,
    principal: SignedIn,
    topics: Annotated[str, Query(max_length=200, description="Which topics, comma separated; empty: all.")] = "",
    since: Annotated[str, Query(max_length=40, description="The position of a page; what came later is told.")] = "",
    last_event_id: Annotated[str, Header(max_length=40)] = "",
) -> Response:
    """Server-sent events: what changed, at most once every 0.8 s for each topic.

    An event is named after its topic, and its data are `{topic, sent_at, payload: {project_ids}}`: the projects that
    changed, `""` for the system's own, or null where it may be any. After a lost connection the browser resumes with
    the id of the last event, and hears of every topic that it has missed.
    """
    wanted, hub = _topics(topics), cast("Hub", request.app.state.hub)
    hearing = await run_in_threadpool(hearing_of, _credential(request), principal)
    try:
        return EventStream(hub, wanted, hearing, last_event_id or since or None)
    except Full as full:
        headers = {"Retry-After": str(answers.RETRY_SECONDS)}
        return answers.refusal(request, full.status, str(full), headers=headers)


def _topics(text: str) -> frozenset[Topic]:
    wanted = {word.strip() for word in text.split(",") if word.strip()}
    unknown = wanted - TOPICS
    if unknown:
        raise FilterError(f"topics: {', '.join(sorted(unknown))} is none of {', '.join(sorted(TOPICS))}.")
    return cast("frozenset[Topic]", frozenset(wanted)) or TOPICS


def _credential(request: Request) -> Credential:
    key = bearer(request)
    return Credential("session", session_token(request) or "") if key is None else Credential("key", key)
