"""The `openai` client's errors as ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from callboard import AuthenticationError, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import APIStatusError

    from actors.memory.settings import MemorySettings

_PASSING, _SERVER_ERROR = (408, 409, 425, 429), 500
_SHOWN = 300  # characters of an answer that an error message quotes


class ModelMissing(PermanentError):  # noqa: N818 - what it is
    """The API does not have the model, or the key may not use it."""


class InputRefused(PermanentError):  # noqa: N818 - the outcome's name
    """The API refuses this very text."""


class OutOfQuota(PermanentError):  # noqa: N818 - what the vendor calls the case
    """The account behind the key has nothing left to spend; waiting does not help, paying does."""


@contextmanager
def translated(settings: MemorySettings) -> Iterator[None]:
    """Around one call of the client.

    Raises:
        TransientError, PermanentError, AuthenticationError: See clients/model.py.
    """
    from openai import APIConnectionError, APIStatusError  # noqa: PLC0415 - see clients/model.py

    try:
        yield
    except APIStatusError as error:
        raise _of_status(error, settings) from _http_error(error)
    except APIConnectionError as error:  # timeouts are such too
        cause = error.__cause__ or error
        raise TransientError(
            f"The language model at {_place(settings)} cannot be reached ({type(cause).__name__}: {cause}); see "
            "CALLBOARD_MEMORY_MODEL_URL."
        ) from error


def _of_status(
    error: APIStatusError, settings: MemorySettings
) -> TransientError | PermanentError | AuthenticationError:
    said = f"The language model at {_place(settings)} answered {error.status_code}: {_told(error)}"
    kind, mend = _kind(error.status_code, str(error.code))
    return kind(f"{said}{mend}")


def _kind(status: int, code: str) -> tuple[type[TransientError | PermanentError | AuthenticationError], str]:
    """Whose fault an answer is, and what a person can do."""
    match status:
        case 429 if code == "insufficient_quota":
            return OutOfQuota, ""
        case 401 | 403:
            return AuthenticationError, "; renew CALLBOARD_MEMORY_MODEL_KEY"
        case 404:
            return ModelMissing, "; see CALLBOARD_MEMORY_CHAT_MODEL and CALLBOARD_MEMORY_EMBEDDING_MODEL"
        case 400 | 413 | 422:
            return InputRefused, ""
    if status in _PASSING or status >= _SERVER_ERROR:
        return TransientError, ""
    return PermanentError, "; CALLBOARD_MEMORY_MODEL_URL seems to lead elsewhere"


def _told(error: APIStatusError) -> str:
    body = error.body
    return str(body["message"] if isinstance(body, dict) and "message" in body else body)[:_SHOWN]


def _http_error(error: APIStatusError) -> Exception:
    """The HTTP client's own error, in which the engine finds the Retry-After header, in seconds or as a date."""
    from httpx2 import HTTPStatusError  # noqa: PLC0415 - loaded by then

    return HTTPStatusError(str(error), request=error.request, response=error.response)


def _place(settings: MemorySettings) -> str:
    parts = urlsplit(settings.model_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
