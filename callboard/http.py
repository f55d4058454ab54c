"""HTTP for jobs: time limits by default, and the correlation id on every outgoing call."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from callboard.run import peek_run

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import httpx

CORRELATION_HEADER = "X-Correlation-ID"
_READ_SECONDS, _CONNECT_SECONDS = 30.0, 5.0


def _tag(request: httpx.Request) -> None:
    run = peek_run()
    if run is not None:
        request.headers.setdefault(CORRELATION_HEADER, run.correlation_id)


def http_client(
    *,
    timeout: httpx.Timeout | float | None = None,
    event_hooks: Mapping[str, list[Any]] | None = None,
    **options: Any,  # noqa: ANN401 - httpx.Client's own options
) -> httpx.Client:
    """An `httpx.Client` that sends `X-Correlation-ID` and never waits for ever (seconds; 30 to read, 5 to connect)."""
    import httpx  # noqa: PLC0415 - 18 MB that a worker without HTTP does not need

    hooks = dict(event_hooks or {})
    hooks["request"] = [*hooks.get("request", []), _tag]
    timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS) if timeout is None else timeout
    options.setdefault("verify", _certificates())
    return httpx.Client(timeout=timeout, event_hooks=hooks, **options)


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """What httpx itself would make for every client, which takes 30 ms of processor time each."""
    import httpx  # noqa: PLC0415 - see above

    return httpx.create_ssl_context()
