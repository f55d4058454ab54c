"""Ollama: vectors for texts.

Errors say whose fault it was, and are Callboard's, so that the engine knows what to do with them:

    TransientError        Ollama is down, slow, overloaded, or answers what cannot be understood
    PermanentError        the answer will not change by asking again
    +-- ModelMissing        the model was never pulled
    +-- InputRefused        this text is at fault, others may be fine
    AuthenticationError   a proxy in front of Ollama wants credentials
"""

from __future__ import annotations

from array import array
from math import isfinite
from typing import TYPE_CHECKING, Any, Self

import httpx
import orjson

from callboard import AuthenticationError, PermanentError, TransientError, http_client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from actors.sessions.settings import SessionsSettings

_CONNECT_SECONDS = 5.0
_SHOWN = 200  # characters of an answer that an error message quotes


class ModelMissing(PermanentError):  # noqa: N818 - what Ollama itself calls the case
    """Ollama does not have the model; a person must pull it."""


class InputRefused(PermanentError):  # noqa: N818 - the outcome's name
    """Ollama refuses these very texts."""


class OllamaClient:
    """Keeps a connection open for the `with` block.

    Args:
        base_url: Such as `http://127.0.0.1:11434`.
        model: Name of an embedding model, with or without a tag.
        dimensions: Length its vectors must have.
        timeout: Longest wait for an answer, in seconds.
    """

    def __init__(self, base_url: str, model: str, *, dimensions: int, timeout: float) -> None:
        self._model, self._dimensions = model, dimensions
        self._url = str(httpx.URL(base_url).copy_with(userinfo=b"")).rstrip("/")  # for messages: without credentials
        self._http = http_client(base_url=base_url, timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS))

    @classmethod
    def of(cls, settings: SessionsSettings) -> Self:
        """A client as the settings say."""
        return cls(
            settings.ollama_url,
            settings.ollama_model,
            dimensions=settings.embedding_dimensions,
            timeout=settings.ollama_timeout_seconds,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def models(self) -> list[str]:
        """Names of the models that Ollama has, with their tags.

        Raises:
            TransientError, PermanentError, AuthenticationError: See the head of this file.
        """
        document = self._ask("GET", "/api/tags")
        try:
            return [str(model["name"]) for model in document["models"]]
        except (KeyError, TypeError):
            raise self._unexpected("/api/tags", "a list of models") from None

    def require_model(self) -> None:
        """Make sure that Ollama answers and has the model; a name without a tag means `:latest`, as everywhere in it.

        Raises:
            ModelMissing, TransientError, PermanentError, AuthenticationError: See the head of this file.
        """
        wanted = self._model if ":" in self._model else f"{self._model}:latest"
        there = self.models()
        if wanted not in there:
            raise ModelMissing(
                f"Ollama at {self._url} does not have the model {self._model!r}, only {', '.join(there) or 'none'}; "
                f"run `ollama pull {self._model}`, or set CALLBOARD_SESSIONS_OLLAMA_MODEL"
            )

    def embed(self, texts: Sequence[str]) -> list[array[float]]:
        """One vector of 32-bit floats for each text, in order; one request.

        Raises:
            InputRefused, ModelMissing, TransientError, PermanentError, AuthenticationError: See the head of this file.
        """
        document = self._ask("POST", "/api/embed", {"model": self._model, "input": list(texts)})
        rows = document.get("embeddings")
        if not isinstance(rows, list) or len(rows) != len(texts):
            raise self._unexpected("/api/embed", f"{len(texts)} vectors")
        return [self._vector(row) for row in rows]

    def _vector(self, row: object) -> array[float]:
        try:
            vector: array[float] = array("f", row)  # type: ignore[call-overload] # what is no row of numbers raises
        except (TypeError, OverflowError):
            raise self._unexpected("/api/embed", "vectors of numbers") from None
        if len(vector) != self._dimensions:
            raise PermanentError(
                f"model {self._model!r} gives vectors of {len(vector)} dimensions, {self._dimensions} are expected: "
                "set CALLBOARD_SESSIONS_OLLAMA_MODEL to the model that the index was made with, or "
                "CALLBOARD_SESSIONS_EMBEDDING_DIMENSIONS together with a new CALLBOARD_SESSIONS_VECTORS_DIR"
            )
        if not all(map(isfinite, vector)) or not any(vector):
            raise InputRefused(f"model {self._model!r} has no direction for the text: the vector is zero or not finite")
        return vector

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.RequestError as error:
            raise TransientError(
                f"Ollama at {self._url} cannot be reached ({type(error).__name__}: {error}): start it with "
                "`ollama serve`, or set CALLBOARD_SESSIONS_OLLAMA_URL"
            ) from error
        if not response.is_success:
            raise self._failure(response)
        try:
            document = orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise TransientError(f"Ollama at {self._url}{path} answered broken JSON: {error}") from error
        if not isinstance(document, dict):
            raise self._unexpected(path, "an object")
        return document

    def _failure(self, response: httpx.Response) -> PermanentError | TransientError | AuthenticationError:
        url = response.request.url.copy_with(userinfo=b"")
        said = f"Ollama at {url} answered {response.status_code}: {response.text[:_SHOWN]}"
        match response.status_code:
            case 404 if "model" in response.text:
                return ModelMissing(f"{said}; run `ollama pull {self._model}`")
            case 401 | 403:
                return AuthenticationError(f"{said}; mend the credentials in CALLBOARD_SESSIONS_OLLAMA_URL")
            case 400 | 413 | 422:
                return InputRefused(said)
            case 408 | 425 | 429:
                return _transient(said, response)
        if response.is_server_error:
            return _transient(said, response)
        return PermanentError(f"{said}; CALLBOARD_SESSIONS_OLLAMA_URL seems to lead elsewhere")

    def _unexpected(self, path: str, wanted: str) -> TransientError:
        return TransientError(f"Ollama at {self._url}{path} answered something else than {wanted}")


def _transient(said: str, response: httpx.Response) -> TransientError:
    """Caused by httpx's own error, in which the engine finds the Retry-After header, in seconds or as a date."""
    error = TransientError(said)
    error.__cause__ = httpx.HTTPStatusError(said, request=response.request, response=response)
    return error
