"""What is taken out of the answers of an OpenAI-compatible API, and what is found wanting in them."""

from __future__ import annotations

import base64
import sys
from array import array
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson

from actors.memory.clients._model_errors import InputRefused
from callboard import PermanentError, TransientError

if TYPE_CHECKING:
    import httpx

_SHOWN = 200  # characters of what an error message says of an answer


class BadAnswer(TransientError):  # noqa: N818 - what it is
    """The API answered something else than what was asked for; models do, and seldom twice.

    The message never quotes the answer, which may say what somebody's memories say.
    """

    def __init__(self, wanted: str, found: object) -> None:
        super().__init__(f"The language model answered something else than {wanted}: {str(found)[:_SHOWN]}")


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a chat, and its tokens."""

    message: dict[str, Any]
    finish_reason: str
    prompt: int
    completion: int

    def text(self) -> str:
        """What the model said.

        Raises:
            InputRefused: It refuses to speak of that.
            BadAnswer: It said nothing, or was cut off.
        """
        if self.message.get("refusal") or self.finish_reason == "content_filter":
            raise InputRefused(f"The language model refuses to speak of the text ({self.finish_reason}).")
        content = self.message.get("content")
        if self.finish_reason == "length" or not isinstance(content, str):
            raise BadAnswer("a whole text", f"finish_reason={self.finish_reason!r}")
        return content


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors in the order of the texts, and the tokens of these."""

    vectors: list[array[float]]
    prompt: int


def completion_of(answer: Any) -> Completion:  # noqa: ANN401 - the client's raw response
    """The first choice of an answer.

    Raises:
        BadAnswer: There is none.
    """
    document = _document(answer.http_response)
    try:
        choice, usage = document["choices"][0], document.get("usage") or {}
        return Completion(
            dict(choice["message"]),
            str(choice.get("finish_reason")),
            int(usage.get("prompt_tokens", 0)),
            int(usage.get("completion_tokens", 0)),
        )
    except (KeyError, IndexError, TypeError, ValueError):
        raise BadAnswer("a chat completion", _shape(document)) from None


def vectors_of(answer: Any, *, count: int, dimensions: int) -> Vectors:  # noqa: ANN401 - the client's raw response
    """The vectors of an answer, sorted by the index, which is the only order that the API promises.

    Raises:
        BadAnswer: There are other than `count` of them, or they are none.
        PermanentError: They have another length than `dimensions`.
        InputRefused: One of them has no direction.
    """
    document = _document(answer.http_response)
    try:
        rows = {int(row["index"]): _vector(row["embedding"]) for row in document["data"]}
        vectors = [rows[number] for number in range(count)]
        used = int((document.get("usage") or {}).get("prompt_tokens", 0))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadAnswer(f"{count} vectors", _shape(document)) from None
    if len(rows) != count:
        raise BadAnswer(f"{count} vectors", f"{len(rows)} of them")
    for vector in vectors:
        _check(vector, dimensions)
    return Vectors(vectors, used)


def _vector(given: object) -> array[float]:
    """From base64 of little-endian floats or, by APIs that know only that, from a list of numbers."""
    vector = array("f")
    if not isinstance(given, str):
        vector.extend(given)  # type: ignore[arg-type]  # what is no list of numbers raises
        return vector
    vector.frombytes(base64.b64decode(given, validate=True))
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def _check(vector: array[float], dimensions: int) -> None:
    if len(vector) != dimensions:
        raise PermanentError(
            f"The embedding model gives vectors of {len(vector)} dimensions, {dimensions} are expected: set "
            "CALLBOARD_MEMORY_EMBEDDING_DIMENSIONS to what CALLBOARD_MEMORY_EMBEDDING_MODEL can give."
        )
    if not all(map(isfinite, vector)) or not any(vector):
        raise InputRefused("The embedding model has no direction for the text: the vector is zero or not finite.")


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise BadAnswer("JSON", error) from None
    if not isinstance(document, dict):
        raise BadAnswer("a JSON object", _shape(document))
    return document


def _shape(document: object) -> str:
    return f"an object with {sorted(document)}" if isinstance(document, dict) else f"a {type(document).__name__}"
